"""Means over the whole pool, for every candidate: block by block, and over random anchors where the pool is large."""

from collections.abc import Callable
from typing import Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp.pool import PoolView

BLOCK = 256  # candidates at a time, so that no array of [K, P] is made
WHOLE_POOL = 2048  # rows up to which a mean runs over the whole pool
ANCHORS = 1024  # random rows that stand for a larger one


class Term(Protocol):
    """What is averaged."""

    def __call__(self, rows: jax.Array, others: jax.Array | None, /) -> jax.Array:
        """For pool rows [N] int32 and others [L], None being the whole pool: [N, L]."""
        ...


def mean_over_pool(view: PoolView, term: Term, own: jax.Array, key: chex.PRNGKey) -> jax.Array:
    """The mean of `term` over the pool, for every candidate: [K].

    In a pool of more than `WHOLE_POOL` rows the mean is estimated from `ANCHORS` random ones, and a candidate's term
    with itself, which is often the largest, is kept exact.

    Args:
      view: the pool and its candidates.
      term: of a candidate and a pool point.
      own: [K] the term of each candidate with itself.
      key: draws the anchors.
    """
    inside = view.task.pool_mask
    size = jnp.sum(inside)
    if len(inside) <= WHOLE_POOL:
        total = by_blocks(lambda rows: jnp.sum(jnp.where(inside, term(rows, None), 0.0), 1), view.rows)
        return total / size
    anchors = draw_anchors(key, inside, ANCHORS)

    def of_others(rows: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(anchors != rows[:, None], term(rows, anchors), 0.0), 1)

    return own / size + by_blocks(of_others, view.rows) / ANCHORS


def draw_anchors(key: chex.PRNGKey, inside: jax.Array, count: int) -> jax.Array:
    """`count` of the rows where `inside` [P] holds, each as likely as any other: [count] int32.

    They are evenly spaced from a random start. Where there are fewer rows than that, each comes several times.
    """
    upto = jnp.cumsum(inside)
    spaced = (jnp.arange(count) + jax.random.uniform(key)) * (upto[-1] / count)
    return jnp.searchsorted(upto, jnp.minimum(jnp.floor(spaced).astype(upto.dtype) + 1, upto[-1]))


def by_blocks(function: Callable[[jax.Array], jax.Array], rows: jax.Array) -> jax.Array:
    """`function` ([N] int32 -> [N]) of pool rows [K], `BLOCK` of them at a time: [K]."""
    if len(rows) <= BLOCK:
        return function(rows)
    blocks = jnp.pad(rows, (0, -len(rows) % BLOCK)).reshape(-1, BLOCK)
    return jax.lax.map(function, blocks).reshape(-1)[: len(rows)]
