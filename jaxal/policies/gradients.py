"""BADGE: diverse gradients of the last layer (Ash et al. 2020)."""

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp.observation import Observation

TINY = 1e-30  # squared distance of a point to itself, whose logarithm must be finite


def badge(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Longest gradient first, then k-means++ on the gradients of the same step's picks (Ash et al. 2020).

    The gradient is that of the loss at the predicted class, g_i = (onehot(argmax p_i) - p_i) (x) h_i. It is never
    built: <g_i, g_j> = <q_i, q_j> <h_i, h_j>, with q the first factor and h the latent, without the constant as in the
    authors' code. After the first pick a point is drawn with a probability proportional to its squared distance to the
    nearest pick, as the largest of log d^2 + Gumbel noise.
    """
    view = observation.whole_pool
    p = jax.nn.softmax(view.logits)
    residuals = jax.nn.one_hot(jnp.argmax(p, -1), p.shape[-1]) - p  # [P, C]
    lengths = jnp.sum(residuals**2, -1) * view.norms  # [P] squared
    picks, pending = view.chosen.rows, view.chosen.mask & ~view.known
    with jax.default_matmul_precision("highest"):
        products = (residuals[picks] @ residuals[view.rows].T) * view.products(picks, view.rows)  # [B, K]
    apart = jnp.maximum(lengths[picks, None] + lengths[view.rows] - 2.0 * products, TINY)
    nearest = jnp.min(jnp.where(pending[:, None], apart, jnp.inf), 0)
    drawn = jnp.log(nearest) + jax.random.gumbel(key, view.rows.shape)
    return jnp.where(jnp.any(pending), drawn, lengths[view.rows])
