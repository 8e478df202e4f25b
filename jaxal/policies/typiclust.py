"""The clusterings that TypiClust needs, made on the host before an episode starts (Hacohen et al. 2022).

TypiClust clusters the pool into (labels so far + labels a step) clusters and takes the most typical point of the
largest ones without a label. The clusterings depend on the number of labels alone, never on which they are, so they
are the same for all episodes on a pool.
"""

import warnings
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from jaxal.mdp.observation import Observation
from jaxal.policies.hand_written import margin
from jaxal.policies.strategy import Setting
from jaxal.tasks.products import product

MAX_CLUSTERS = 500
NEIGHBOURS = 20


class Clustering(NamedTuple):
    """What TypiClust precomputes for a pool: see `clusterings`."""

    clusters: jax.Array  # [T, P] int32 cluster of each point, for the clustering used at each step; -1: padding
    typicality: jax.Array  # [T, P] typicality of each point within its cluster
    sizes: jax.Array  # [T, G] points of each cluster, 0 where there is none


def typiclust(params: Clustering, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """The most typical point of the largest cluster with the fewest labels (Hacohen et al. 2022).

    The candidates must be the whole pool in its own order. Clusters of 5 points or fewer come after all others.
    """
    del key
    clusters, typical, sizes = jax.tree.map(lambda x: x[observation.time], params)
    groups = sizes.shape[-1]
    members = jax.nn.one_hot(clusters, groups, axis=0)  # [G, P]
    labelled = product(members, (~observation.mask & (clusters >= 0)).astype(jnp.float32))
    best = jax.ops.segment_max(jnp.where(observation.mask, typical, -jnp.inf), clusters, groups)
    rank = jnp.lexsort((-sizes, labelled, sizes <= 5))  # cluster numbers, the first to be drawn from first
    place = jnp.zeros(groups).at[rank].set(jnp.arange(groups, dtype=jnp.float32))
    tied = jnp.where(observation.mask & (typical >= best[clusters]), jnp.arange(len(clusters)), len(clusters))
    leading = tied == jax.ops.segment_min(tied, clusters, groups)[clusters]  # one a cluster, duplicates or not
    # Within a cluster the most typical point leads; only when every cluster has given one do the others follow.
    return -place[clusters] - jnp.where(leading, 0.0, groups)


def tcm(params: Clustering, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """TypiClust for the first three steps, the smallest margin after them (Doucet et al. 2024)."""
    return jnp.where(observation.time < 3, typiclust(params, observation, key), margin(observation, key))


@threadpool_limits.wrap(limits=1)  # idle threads spin: where others use the cores too, ten times as slow
def clusterings(latents: np.ndarray, labels_before: np.ndarray, batch: int, pool_size: int, seed: int) -> Clustering:
    """The clusterings of a pool.

    Args:
      latents: [p, D] float, of the pool.
      labels_before: [T] labels at the start of each step.
      batch: labels a step.
      pool_size: P >= p to pad to.
      seed: of k-means.

    Returns:
      clusters and typicalities; a point's typicality is the inverse of its mean distance to its nearest neighbours in
      its cluster, at most `NEIGHBOURS` and at most half of the cluster. As published, up to 50 clusters are found by
      k-means and more by mini-batch k-means.
    """
    counts = np.minimum(labels_before + batch, min(MAX_CLUSTERS, len(latents)))
    clusters = np.full((len(counts), pool_size), -1, np.int32)
    typical = np.zeros((len(counts), pool_size), np.float32)
    sizes = np.zeros((len(counts), counts.max()), np.float32)
    for step, count in enumerate(counts):
        if count <= 50:
            model = KMeans(count, n_init=1, random_state=seed)  # type: ignore[arg-type]
        else:
            model = MiniBatchKMeans(count, n_init=3, batch_size=5000, random_state=seed)  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters
            found = model.fit_predict(latents)
        clusters[step, : len(latents)] = found
        sizes[step, :count] = np.bincount(found, minlength=count)
        for cluster in range(count):
            members = np.flatnonzero(found == cluster)
            typical[step, members] = _typicality(latents[members])
    return Clustering(jnp.asarray(clusters), jnp.asarray(typical), jnp.asarray(sizes))


def _typicality(points: np.ndarray) -> np.ndarray:
    """[m] inverse mean distance of each point [m, D] to its nearest neighbours among the others."""
    neighbours = min(NEIGHBOURS, len(points) // 2)
    if neighbours == 0:
        return np.ones(len(points), np.float32)
    points = points.astype(np.float64)  # differences of squares cancel
    norms = np.sum(points**2, 1)
    squared = norms[:, None] + norms[None] - 2 * points @ points.T
    np.fill_diagonal(squared, 0.0)
    nearest = np.sqrt(np.maximum(np.partition(squared, neighbours, 1)[:, : neighbours + 1], 0.0))
    return 1.0 / (np.sum(nearest, 1) / neighbours + 1e-5)


def prepare(setting: Setting) -> Clustering:
    """The clusterings of one seed's pool."""
    batch = setting.config.environment.batch
    return clusterings(setting.latents, setting.labels_before, batch, len(setting.labels), setting.seed)
