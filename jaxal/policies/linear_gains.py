"""Linear policies of gains, fitted exactly: ridge regression from the sums that it needs.

The sums of more and more decisions are added up, so that a fit costs the same however many there were.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxal.policies.gain_network import Decision
from jaxal.tasks.inverse import positive_inverse


class Moments(NamedTuple):
    """Sums over candidates; features and gains are centred within each state."""

    gram: jax.Array  # [F, F] of products of standardised features
    moment: jax.Array  # [F] of standardised features x gains
    squares: jax.Array  # [] of squared gains
    candidates: jax.Array  # [] how many


def no_moments(size: int) -> Moments:
    """Of nothing, for F features."""
    return Moments(jnp.zeros((size, size)), jnp.zeros(size), jnp.zeros(()), jnp.zeros(()))


def moments(decisions: Decision) -> Moments:
    """Of decisions [n, ...]. States without a candidate, or with a number that is not finite, do not count."""
    features, gains = decisions.sight.standardised.astype(jnp.float32), decisions.gains.astype(jnp.float32)
    finite = jnp.all(jnp.isfinite(features), (1, 2)) & jnp.all(jnp.isfinite(gains), 1)
    mask = decisions.mask & finite[:, None]  # [n, K]
    share = mask / jnp.maximum(jnp.sum(mask, -1, keepdims=True), 1)
    features, gains = jnp.where(mask[..., None], features, 0.0), jnp.where(mask, gains, 0.0)
    with jax.default_matmul_precision("highest"):
        x = jnp.where(mask[..., None], features - jnp.einsum("nk,nkf->nf", share, features)[:, None], 0.0)
        y = jnp.where(mask, gains - jnp.sum(share * gains, -1, keepdims=True), 0.0)
        gram, moment = jnp.einsum("nkf,nkg->fg", x, x), jnp.einsum("nkf,nk->f", x, y)
    return Moments(gram, moment, jnp.sum(y**2), jnp.sum(mask).astype(jnp.float32))


def ridge(start: jax.Array, found: Moments, penalty: float) -> tuple[jax.Array, jax.Array]:
    """The weights that minimise mean squared error + `penalty` x squared distance from `start`.

    Args:
      start: [F] weights that are as good as any before a gain is seen.
      found: sums; the means are over candidates.
      penalty: above 0.

    Returns:
      Weights [F], and their mean squared error [].
    """
    count = jnp.maximum(found.candidates, 1.0)
    gram, moment = found.gram / count, found.moment / count
    with jax.default_matmul_precision("highest"):
        inverse = positive_inverse(gram + penalty * jnp.eye(len(gram)))
        weights = start + inverse @ (moment - gram @ start)
        error = found.squares / count - 2 * weights @ moment + weights @ gram @ weights
    return weights, error
