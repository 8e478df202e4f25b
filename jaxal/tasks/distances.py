"""Distances in latent space, and the running sums that an episode needs of them.

Symbols: P pool rows, L other rows, D latent size. The built-in distances come from inner products, clamped at zero and
computed in full float32 precision (accelerators would otherwise round the products, and distances near zero with
them). "Mean distance to the labelled set" and its siblings are never recomputed: `extend` adds the columns of the
points that were just labelled.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.registry import Registry
from jaxal.tasks.products import product

NEIGHBOURS = 10  # neighbours in the local density
ANCHORS = 10_000  # rows that stand for a larger pool
BLOCK = 512  # rows whose distances are in memory at a time


class FromInner(Protocol):
    """Distances as a function of inner products."""

    def __call__(self, products: jax.Array, x_norms: jax.Array, y_norms: jax.Array, /) -> jax.Array:
        """Products [P, L], squared norms [P] and [L] -> distances [P, L], never below zero."""
        ...


class Between(Protocol):
    """Distances between the rows of two arrays."""

    def __call__(self, x: jax.Array, y: jax.Array, /) -> jax.Array:
        """Latents [P, D] and [L, D] -> distances [P, L], never below zero."""
        ...


class Totals(Protocol):
    """Sums of distances without the distances themselves."""

    def __call__(self, x: jax.Array, keep: jax.Array, /) -> jax.Array:
        """Latents [P, D] and 0 or 1 for each [P] -> the sum of the distances from each to those where `keep` is 1."""
        ...


@jax.tree_util.register_static
@dataclass(frozen=True)
class Distance:
    """A distance between latents: one of `from_inner` and `between` is enough. It may stand in a pytree.

    from_inner: where it is given, an episode computes distances from the Gram matrix and never sees a latent.
    between: for distances that are not functions of inner products; latents are then kept beside the Gram matrix.
    totals: a way to sum distances that costs less than P^2; None: they are summed block by block.
    """

    from_inner: FromInner | None = None
    between: Between | None = None
    totals: Totals | None = None


class Geometry(NamedTuple):
    """Where each pool point lies with respect to the pool and to the labelled set, in units of `scale`.

    `scale` is the mean distance between two pool points, so that the numbers carry over to other data sets.
    """

    total: jax.Array  # [P] sum of the distances to all pool points
    local_density: jax.Array  # [P] mean distance to the nearest neighbours in the pool (small where it is dense)
    neighbours: jax.Array  # [P, k] int32 those neighbours, the nearest first
    labelled_total: jax.Array  # [P] sum of the distances to the labelled points
    nearest_labelled: jax.Array  # [P] distance to the nearest labelled point; inf while there is none
    scale: jax.Array  # [] mean distance between two pool points
    pool_size: jax.Array  # [] float, points in the pool
    labelled_size: jax.Array  # [] float, labelled points


def inner(x: jax.Array, y: jax.Array) -> jax.Array:
    """Inner products of the rows of `x` [P, D] with those of `y` [L, D]: [P, L] float32."""
    chex.assert_rank([x, y], 2)
    chex.assert_equal_shape_suffix([x, y], 1)
    return product(x, y.T)


def squared_euclidean(products: jax.Array, x_norms: jax.Array, y_norms: jax.Array) -> jax.Array:
    """|x - y|^2."""
    return jnp.clip(x_norms[:, None] + y_norms[None, :] - 2.0 * products, 0.0)


def euclidean(products: jax.Array, x_norms: jax.Array, y_norms: jax.Array) -> jax.Array:
    """|x - y|."""
    return jnp.sqrt(squared_euclidean(products, x_norms, y_norms))


def cosine(products: jax.Array, x_norms: jax.Array, y_norms: jax.Array) -> jax.Array:
    """1 - cos(x, y); a vector of zeros is at distance 1 from everything."""
    norms = jnp.sqrt(x_norms[:, None] * y_norms[None, :])
    return jnp.clip(1.0 - products / jnp.maximum(norms, 1e-12), 0.0)


def _squared_euclidean_totals(x: jax.Array, keep: jax.Array) -> jax.Array:
    norms = jnp.sum(x * x, -1)
    return jnp.clip(jnp.sum(keep) * norms + product(keep, norms) - 2.0 * product(x, product(keep, x)), 0.0)


def _cosine_totals(x: jax.Array, keep: jax.Array) -> jax.Array:
    units = x / jnp.maximum(jnp.sqrt(jnp.sum(x * x, -1)), 1e-12)[:, None]
    return jnp.clip(jnp.sum(keep) - product(units, product(keep, units)), 0.0)


DISTANCES = Registry(
    "distance",
    {
        "euclidean": Distance(euclidean),
        "squared_euclidean": Distance(squared_euclidean, totals=_squared_euclidean_totals),
        "cosine": Distance(cosine, totals=_cosine_totals),
    },
    lambda given: given if isinstance(given, Distance) else Distance(between=given),
)


def pairwise(distance: Distance, x: jax.Array, y: jax.Array) -> jax.Array:
    """Distances between the rows of `x` [P, D] and of `y` [L, D]: [P, L] float32."""
    chex.assert_rank([x, y], 2)
    if distance.from_inner is not None:
        return distance.from_inner(inner(x, y), jnp.sum(x * x, -1), jnp.sum(y * y, -1))
    assert distance.between is not None, "a Distance is given neither from_inner nor between"
    return distance.between(x, y)


class Anchors(NamedTuple):
    """Pool rows that stand for the whole pool in means and in neighbourhoods."""

    latents: jax.Array  # [A, D]
    rows: jax.Array  # [A] int32
    keep: jax.Array  # [A] float, 0 on padding


class Reduce(Protocol):
    """What becomes of a block of distances."""

    def __call__(self, d: jax.Array, rows: jax.Array, anchors: Anchors, /) -> Any:
        """Distances [block, A] from the pool rows `rows` [block] to the anchors -> arrays [block, ...]."""
        ...


def totals(distance: Distance, x: jax.Array, mask: jax.Array, block: int = BLOCK) -> jax.Array:
    """Sum of the distances from each row of `x` [P, D] to the rows where `mask` [P] holds: [P].

    No [P, P] array is ever made: distances are summed block by block, where `distance.totals` does not make even that
    unnecessary. In a pool of more than `ANCHORS` rows the sum is estimated from so many random ones.
    """
    if distance.totals is not None:
        return distance.totals(x, mask.astype(x.dtype))
    return _by_blocks((_sum(mask),), distance, x, mask, block)[0]


def local_density(distance: Distance, x: jax.Array, mask: jax.Array, block: int = BLOCK) -> tuple[jax.Array, jax.Array]:
    """Mean distance from each row of `x` [P, D] to its nearest other rows where `mask` [P] holds, and those rows.

    The number of neighbours k is `NEIGHBOURS`, or all there are in a smaller pool. In a pool of more than `ANCHORS`
    rows they are looked for among so many random ones: the distances are then larger, and their order much the same.

    Returns:
      [P] means, and [P, k] int32 rows, the nearest first; where there are fewer than k, they end in any.
    """
    return _by_blocks((_nearest,), distance, x, mask, block)[0]


def _sum(mask: jax.Array) -> Reduce:
    def reduce(d: jax.Array, rows: jax.Array, anchors: Anchors) -> jax.Array:
        del rows
        return product(d, anchors.keep) * jnp.sum(mask) / jnp.maximum(jnp.sum(anchors.keep), 1.0)

    return reduce


def _nearest(d: jax.Array, rows: jax.Array, anchors: Anchors) -> tuple[jax.Array, jax.Array]:
    others = (anchors.keep > 0) & (anchors.rows != rows[:, None])
    closeness, places = jax.lax.top_k(-jnp.where(others, d, jnp.inf), min(NEIGHBOURS, d.shape[1] - 1))
    finite = jnp.isfinite(closeness)
    mean = jnp.sum(jnp.where(finite, -closeness, 0.0), 1) / jnp.maximum(jnp.sum(finite, 1), 1)
    return mean, anchors.rows[places].astype(jnp.int32)


def _by_blocks(reductions: tuple[Reduce, ...], distance: Distance, x: jax.Array, mask: jax.Array, block: int) -> Any:
    """What the reductions make of the distances from all rows to the anchors, a block at a time: arrays [P, ...]."""
    order = jnp.arange(len(x))
    if len(x) > ANCHORS:
        order = jax.random.permutation(jax.random.key(0), len(x))
        order = order[jnp.argsort(~mask[order], stable=True)[:ANCHORS]]  # those in use first
    anchors = Anchors(x[order], order, mask[order].astype(x.dtype))
    rows = jnp.pad(jnp.arange(len(x)), (0, -len(x) % block)).reshape(-1, block)

    def reduce(rows: jax.Array) -> Any:
        d = pairwise(distance, x[rows], anchors.latents)
        return tuple(each(d, rows, anchors) for each in reductions)

    blocks = jax.lax.map(reduce, rows)
    return jax.tree.map(lambda found: found.reshape(-1, *found.shape[2:])[: len(x)], blocks)


def geometry(distance: Distance, x: jax.Array, mask: jax.Array) -> Geometry:
    """The geometry of a pool with nothing labelled.

    Args:
      distance: between latents.
      x: [P, D] float32 latents.
      mask: [P] bool, False on padding rows.
    """
    chex.assert_rank([x, mask], [2, 1])
    size = jnp.sum(mask.astype(x.dtype))
    if distance.totals is None:  # in one pass over the distances
        total, (density, neighbours) = _by_blocks((_sum(mask), _nearest), distance, x, mask, BLOCK)
    else:
        total, (density, neighbours) = totals(distance, x, mask), local_density(distance, x, mask)
    total, density = (jnp.where(mask, found, 0.0) for found in (total, density))
    scale = jnp.maximum(jnp.sum(total) / jnp.maximum(size * (size - 1.0), 1.0), 1e-12)
    zeros = jnp.zeros_like(total)
    empty = zeros + jnp.inf
    return Geometry(total / scale, density / scale, neighbours, zeros, empty, scale, size, jnp.zeros(()))


def extend(state: Geometry, columns: jax.Array, new: jax.Array) -> Geometry:
    """The geometry after points were labelled.

    Args:
      state: the geometry before.
      columns: [N, P] distances from the new points to the pool.
      new: [N] bool, False for entries that are padding.
    """
    columns = columns / state.scale
    added = jnp.sum(jnp.where(new[:, None], columns, 0.0), 0)
    nearest = jnp.min(jnp.where(new[:, None], columns, jnp.inf), 0)
    return state._replace(
        labelled_total=state.labelled_total + added,
        nearest_labelled=jnp.minimum(state.nearest_labelled, nearest),
        labelled_size=state.labelled_size + jnp.sum(new),
    )


def mean_labelled(state: Geometry) -> jax.Array:
    """Mean distance of each pool point to the labelled set: [P]."""
    return state.labelled_total / jnp.maximum(state.labelled_size, 1.0)


def mean_unlabelled(state: Geometry) -> jax.Array:
    """Mean distance of each pool point to the unlabelled set, itself included: [P]."""
    return (state.total - state.labelled_total) / jnp.maximum(state.pool_size - state.labelled_size, 1.0)
