"""The classifier that is refitted at every step, as a bundle of pure functions.

A `Classifier` owns whatever its fit needs (`Fitted.model`, opaque to everyone else) and shows the environment two
things: logits of all rows and the geometry of the pool in its latent space. `linear_probe` is a linear head on frozen
latents. Its weights stay in the span of the labelled latents, W = sum_l alpha_l z_l, so it is fitted in Gram space
and the latent size does not appear in an episode.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax

from jaxal.tasks import distances
from jaxal.tasks.task import Task


class Labelled(NamedTuple):
    """The labelled set: B slots, filled from the left, some of them padding."""

    rows: jax.Array  # [B] int32 pool rows; 0 where unused
    mask: jax.Array  # [B] bool

    def labels(self, task: Task) -> jax.Array:
        """[B] int32 classes of the labelled points; meaningless where unused."""
        return task.pool_labels[self.rows]


class Fitted(NamedTuple):
    """A classifier after a fit."""

    logits: jax.Array  # [R, C]; -inf for classes that the task does not have
    geometry: distances.Geometry  # of the pool, in the classifier's latent space
    model: Any  # what the next fit needs


class Classifier(NamedTuple):
    """Pure functions; a factory captures the settings."""

    init: Callable[[Task, int], Fitted]
    """(task, slots) -> a classifier that has seen no label"""
    fit: Callable[[Task, Fitted, Labelled, jax.Array, int, chex.PRNGKey], Fitted]
    """(task, fitted, labelled, start, size, key): refit after slots start..start+size were filled; the key may drive
    minibatches and augmentation"""
    presume: Callable[[Task, Fitted, jax.Array], Fitted]
    """(task, fitted, row): add a pool row to the labelled set of the geometry alone, before its label is known"""
