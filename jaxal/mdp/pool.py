"""The whole pool as a strategy may see it, with distances and inner products between any of its points."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxal.classifiers.classifier import Fitted, Labelled
from jaxal.tasks.distances import Distance, Geometry, inner, pairwise
from jaxal.tasks.task import Task, own_latents, pool_products


class PoolView(NamedTuple):
    """The whole pool, for strategies that look beyond the candidates one by one.

    Of the labels in `task` a strategy may know those of `chosen` points that are `known`, and no others.
    """

    task: Task
    fitted: Fitted  # the classifier; in its geometry pending points count as labelled
    distance: Distance  # between latents
    rows: jax.Array  # [K] int32 pool rows of the candidates; -1: none
    unlabelled: jax.Array  # [P] bool, False on padding and on pending points
    chosen: Labelled  # [B + N] labelled points, and behind them those picked in this step
    known: jax.Array  # [B + N] bool, points whose labels are known; those picked in this step are pending

    @property
    def logits(self) -> jax.Array:
        """[P, C]."""
        return self.fitted.logits[: len(self.unlabelled)]

    @property
    def geometry(self) -> Geometry:
        """Of the pool; pending points count as labelled."""
        return self.fitted.geometry

    @property
    def labels(self) -> jax.Array:
        """[B + N] int32 classes of the chosen points, the predicted ones of pending points."""
        predicted = jnp.argmax(self.logits[self.chosen.rows], -1)
        return jnp.where(self.known, self.chosen.labels(self.task), predicted)

    @property
    def norms(self) -> jax.Array:
        """[P] squared norms of the latents."""
        moved = self.fitted.latents
        return self.task.norms if moved is None else jnp.sum(moved**2, -1)

    def products(self, rows: jax.Array, others: jax.Array | None = None) -> jax.Array:
        """Inner products of the latents of pool rows [N] int32 and others [L], by default the whole pool: [N, L]."""
        moved = self.fitted.latents
        if moved is None:
            return pool_products(self.task, rows, others)
        return inner(moved[rows], moved if others is None else moved[others])

    def cosines(self, rows: jax.Array, others: jax.Array | None = None) -> jax.Array:
        """The same of latents scaled to unit norm; zero where a latent is."""
        scale = jnp.where(self.norms > 0, jax.lax.rsqrt(jnp.maximum(self.norms, 1e-30)), 0.0)
        scaled = self.products(rows, others) * scale[rows, None] * (scale if others is None else scale[others])
        return jnp.clip(scaled, -1.0, 1.0)

    def distances(self, rows: jax.Array, others: jax.Array | None = None) -> jax.Array:
        """Distances between pool rows, as `products`, in units of the pool's mean distance."""
        if self.distance.from_inner is not None:
            there = self.norms if others is None else self.norms[others]
            apart = self.distance.from_inner(self.products(rows, others), self.norms[rows], there)
        else:
            moved = self.fitted.latents
            z = own_latents(self.task)[: len(self.unlabelled), :-1] if moved is None else moved
            apart = pairwise(self.distance, z[rows], z if others is None else z[others])
        return apart / self.geometry.scale
