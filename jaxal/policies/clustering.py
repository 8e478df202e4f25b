"""Strategies on a graph or a clustering of the pool, which is made on the host before an episode starts.

Both are made of the latents as they are at first, and stay what they are where a classifier moves latents.
"""

from collections.abc import Iterator
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from jaxal.mdp.observation import Observation, margin
from jaxal.policies.over_pool import by_blocks
from jaxal.policies.strategy import Setting

PURE = 0.95  # share of the balls that ProbCover wants to be of one cluster
BLOCK = 512  # rows of its graph that are computed at a time
CONSIDERED = 10  # points with the lowest margins that Cluster-Margin looks at, for each that it picks
CLUSTER_SIZE = 10  # points in one of its clusters, on average
LARGEST_LINKAGE = 5000  # points; average linkage takes time and memory that grow with their square


def prob_cover(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Most points in its ball that no labelled point's ball holds (Yehuda et al. 2022); ties are broken at random.

    `params` are the balls that `balls` gives.
    """
    view = observation.whole_pool
    held = jnp.where(view.chosen.mask[:, None], params[view.chosen.rows], jnp.uint8(0))
    covered = jax.lax.reduce(held, np.uint8(0), jax.lax.bitwise_or, (0,))

    def newly_covered(rows: jax.Array) -> jax.Array:
        return jnp.sum(jax.lax.population_count(params[rows] & ~covered), 1, dtype=jnp.int32)

    return by_blocks(newly_covered, view.rows) + 0.5 * jax.random.uniform(key, view.rows.shape)


def balls(latents: np.ndarray, classes: int, pool_size: int, seed: int) -> np.ndarray:
    """Which points lie within a ball around each, as one bit each: [P, ceil(P / 8)] uint8.

    The balls are open, on latents of unit norm, and their radius is the largest for which 95% of them lie within one
    of C clusters.

    Args:
      latents: [p, D] float, of the pool.
      classes: C, for k-means.
      pool_size: P >= p to pad to; padding lies in no ball, not even its own.
      seed: of k-means.
    """
    units = latents / np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), 1e-12)
    model = KMeans(classes, n_init=10, random_state=seed)  # type: ignore[arg-type]
    clusters = model.fit_predict(units)
    # A ball is pure as long as its radius is at most the distance to the nearest point of another cluster.
    nearest = [
        np.min(np.where(clusters[rows, None] == clusters, np.inf, apart), 1) for rows, apart in _distances(units)
    ]
    radius = np.sort(np.concatenate(nearest))[::-1][int(np.ceil(PURE * len(units))) - 1]
    inside = np.zeros((pool_size, -(-pool_size // 8)), np.uint8)
    for rows, apart in _distances(units):
        within = np.pad(apart < radius, ((0, 0), (0, pool_size - len(units))))
        inside[rows] = np.packbits(within, axis=1)
    return inside


def _distances(points: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows, and their distances [rows, p] to all `points` [p, D]; exactly 0 to themselves."""
    norms = np.sum(points.astype(np.float64) ** 2, 1)
    for start in range(0, len(points), BLOCK):
        rows = slice(start, min(start + BLOCK, len(points)))
        squared = norms[rows, None] + norms - 2.0 * (points[rows] @ points.T)
        squared[np.arange(rows.stop - start), np.arange(start, rows.stop)] = 0.0
        yield rows, np.sqrt(np.maximum(squared, 0.0))


@threadpool_limits.wrap(limits=1)  # as in TypiClust
def prepare_balls(setting: Setting) -> jax.Array:
    """The balls of one seed's pool."""
    return jnp.asarray(balls(setting.latents, setting.classes, len(setting.labels), setting.seed))


class Clusters(NamedTuple):
    """What Cluster-Margin precomputes for a pool."""

    of: jax.Array  # [P] int32 cluster of each point
    considered: jax.Array  # [] int32 points with the lowest margins that are looked at


def cluster_margin(params: Clusters, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Lowest margins, spread over clusters: Cluster-Margin (Citovsky et al. 2021).

    Of the 10 N lowest margins, where N is the labels a step, each cluster gives a random point in turn, those with the
    fewest of these points first; ties are broken at random. All other points come after them, by their margins.
    """
    view, mask = observation.whole_pool, observation.mask
    size = len(mask)
    order = jnp.argsort(jnp.where(mask, margin(observation.candidates), jnp.inf))
    rank = jnp.zeros(size, jnp.int32).at[order].set(jnp.arange(size))
    near = mask & (rank < params.considered)
    cluster = jnp.where(near, params.of[view.rows], len(params.of))  # all others are one, after the last
    noise = jax.random.uniform(key, (size,))
    # In the order of their clusters, and within a cluster at random, a point's turn is its place in its cluster.
    shuffled = jnp.lexsort((noise, cluster))
    sorted_clusters = cluster[shuffled]
    first, behind = (jnp.searchsorted(sorted_clusters, sorted_clusters, side) for side in ("left", "right"))
    turn = jnp.zeros(size, jnp.int32).at[shuffled].set(jnp.arange(size) - first)
    members = jnp.zeros(size, jnp.int32).at[shuffled].set(behind - first)
    queue = jnp.lexsort((noise, members, jnp.where(near, turn, rank), ~near))
    return -jnp.zeros(size).at[queue].set(jnp.arange(size, dtype=jnp.float32))


def average_linkage(latents: np.ndarray, seed: int) -> np.ndarray:
    """Clusters [p] of `latents` [p, D] by average linkage, cut where there are as many as points / 10.

    Of a larger pool than `LARGEST_LINKAGE` so many random points are clustered, and every other one joins the cluster
    whose mean is the nearest.
    """
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(len(latents))[:LARGEST_LINKAGE])
    apart = squareform(np.concatenate([part for _, part in _distances(latents[some])]), checks=False)
    found = fcluster(linkage(apart, "average"), max(len(some) // CLUSTER_SIZE, 1), "maxclust") - 1
    if len(some) == len(latents):
        return found
    means = np.stack([latents[some[found == cluster]].mean(0) for cluster in range(found.max() + 1)])
    return np.argmin(np.sum(means**2, 1) - 2.0 * (latents @ means.T), 1)


@threadpool_limits.wrap(limits=1)
def prepare_clusters(setting: Setting) -> Clusters:
    """The clusters of one seed's pool."""
    found = average_linkage(setting.latents, setting.seed)
    padded = np.pad(found, (0, len(setting.labels) - len(found)))
    considered = CONSIDERED * setting.config.environment.batch
    return Clusters(jnp.asarray(padded, jnp.int32), jnp.int32(considered))
