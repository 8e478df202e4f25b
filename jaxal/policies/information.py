"""What a label would tell of the probe's weights: BAIT and BALD, from the Gram matrix alone.

Both see the linear probe as a Bayesian: its weights have the prior N(0, I / l2), and inputs x end with the constant 1.
The l2 is a parameter, so that the classifier's own may be given. Points that are picked in the same step count as
labelled, for which their labels are not needed.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp.observation import Observation
from jaxal.mdp.pool import PoolView
from jaxal.policies.over_pool import by_blocks, mean_over_pool
from jaxal.policies.strategy import Setting
from jaxal.tasks.inverse import inverse_root, positive_inverse

DRAWS = 64  # from the posterior, for BALD


def bait(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Largest drop of the pool's predictive variance: BAIT on the Fisher information (Ash et al. 2021).

    A point's Fisher information is w x x' with w = 1 - sum p^2, the trace of its multinomial one, so that no matrix is
    larger than the pool's. (Later benchmarks take w = q (1 - q), q of the predicted class: worse here, BUILD_NOTES.md.)
    With S = l2 I + sum of w x x' over the labelled and G_ij = x_i' S^-1 x_j the score of i is
    w_i mean_j w_j G_ij^2 / (1 + w_i G_ii), over the pool. `params` [] is l2.
    """
    view = observation.whole_pool
    weights = 1.0 - jnp.sum(jax.nn.softmax(view.logits) ** 2, -1)  # [P]
    rows, mask = view.chosen
    with jax.default_matmul_precision("highest"):
        to_pool = jnp.where(mask[:, None], view.products(rows) + 1.0, 0.0)  # [B, P] inner products with the labelled
        root = jnp.where(mask, jnp.sqrt(weights[rows]), 0.0)
        among = jnp.where(mask, root[:, None] * (view.products(rows, rows) + 1.0) * root, 0.0)
        middle = root[:, None] * positive_inverse(params * jnp.eye(len(rows)) + among) * root
        shadow = middle @ to_pool  # [B, P]
        variance = (view.norms + 1.0 - jnp.sum(to_pool * shadow, 0)) / params  # [P] G_jj

        def covariance(rows: jax.Array, others: jax.Array | None) -> jax.Array:
            there = shadow if others is None else shadow[:, others]
            return (view.products(rows, others) + 1.0 - to_pool[:, rows].T @ there) / params

        def term(rows: jax.Array, others: jax.Array | None) -> jax.Array:
            return (weights if others is None else weights[others]) * covariance(rows, others) ** 2

        at = weights[view.rows]
        own = variance[view.rows]
        return at * mean_over_pool(view, term, at * own**2, key) / (1.0 + at * own)


class Posterior(NamedTuple):
    """Laplace's approximation of the logits' posterior, as what a draw at any point needs.

    With k the prior covariances between a point and the labelled ones, the logits f_c at the point are
    mean_c + sqrt(v_c) e1_c + (M^-1 E_c k)' e2, with v_c = k(x, x) - k' E_c k and normal e1 [C], e2 [B].
    """

    explained: jax.Array  # [C, B, B] E_c
    root: jax.Array  # [B, B] M^-1, where M is the Cholesky factor of sum_c E_c


def bald(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Largest mutual information of label and weights, by draws from the probe's Laplace posterior.

    BALD (Houlsby et al. 2011). `params` [] is l2. The same draws serve all candidates.
    """
    view = observation.whole_pool
    slots, classes = len(view.chosen.rows), view.logits.shape[-1]
    own_key, common_key = jax.random.split(key)
    own_noise = jax.random.normal(own_key, (DRAWS, classes))
    common_noise = jax.random.normal(common_key, (slots, DRAWS))
    with jax.default_matmul_precision("highest"):
        posterior = laplace(view, params)
        spread = posterior.root.T @ common_noise
        spread = jnp.einsum("cab,bs->acs", posterior.explained, spread)  # [B, C, S]
        to_pool = _prior_covariances(view, params)  # [B, P]

        def information(rows: jax.Array) -> jax.Array:
            near = to_pool[:, rows]  # [B, n]
            variance = (view.norms[rows] + 1.0) / params - jnp.einsum("an,cab,bn->cn", near, posterior.explained, near)
            noise = jnp.sqrt(jnp.maximum(variance, 0.0))[None] * own_noise[..., None]  # [S, C, n]
            draws = view.logits[rows].T + noise + jnp.einsum("an,acs->scn", near, spread)
            p = jax.nn.softmax(draws, 1)
            return _entropy(jnp.mean(p, 0), 0) - jnp.mean(_entropy(p, 1), 0)

        return by_blocks(information, view.rows)


def laplace(view: PoolView, l2: jax.Array) -> Posterior:
    """The posterior of the logits at the chosen points (Rasmussen and Williams 2006, algorithm 3.3)."""
    rows, mask = view.chosen
    kernel = jnp.where(mask, _prior_covariances(view, l2)[:, rows], 0.0)
    slots = jnp.eye(len(rows))

    def explained(probability: jax.Array) -> jax.Array:
        root = jnp.where(mask, jnp.sqrt(probability), 0.0)
        return root[:, None] * positive_inverse(slots + root[:, None] * kernel * root) * root

    each = jax.vmap(explained, 1)(jax.nn.softmax(view.logits[rows]))
    common = jnp.sum(each, 0) + jnp.diag(jnp.where(mask, 0.0, 1.0))
    return Posterior(each, inverse_root(common))


def _prior_covariances(view: PoolView, l2: jax.Array) -> jax.Array:
    """Prior covariances of a class's logits between the chosen points and the pool: [B, P]."""
    return jnp.where(view.chosen.mask[:, None], view.products(view.chosen.rows) + 1.0, 0.0) / l2


def _entropy(p: jax.Array, axis: int) -> jax.Array:
    return -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.maximum(p, 1e-38)), 0.0), axis)


def prepare_l2(setting: Setting) -> jax.Array:
    """The l2 of the probe."""
    return jnp.float32(setting.config.probe.l2)
