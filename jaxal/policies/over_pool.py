"""Means over the whole pool, for every candidate: block by block, and over random anchors where the pool is large."""

from collections.abc import Callable
from typing import Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp.episode import draw_candidates
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
    anchors = draw_candidates(key, inside, ANCHORS)

    def mean_of_others(rows: jax.Array) -> jax.Array:
        other = anchors != rows[:, None]
        return jnp.sum(jnp.where(other, term(rows, anchors), 0.0), 1) / jnp.maximum(jnp.sum(other, 1), 1)

    return (own + (size - 1) * by_blocks(mean_of_others, view.rows)) / size


def by_blocks(function: Callable[[jax.Array], jax.Array], rows: jax.Array) -> jax.Array:
    """`function` ([N] int32 -> [N]) of pool rows [K], `BLOCK` of them at a time: [K]."""
    if len(rows) <= BLOCK:
        return function(rows)
    blocks = jnp.pad(rows, (0, -len(rows) % BLOCK)).reshape(-1, BLOCK)
    return jax.lax.map(function, blocks).reshape(-1)[: len(rows)]
