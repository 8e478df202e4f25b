"""What a classifier is: pure functions that refit it at every step of an episode.

A `Classifier` owns whatever its fit needs (`Fitted.model`, opaque to everyone else) and shows the environment two
things: logits of all rows, and the geometry of the pool in its latent space. `linear_probe` and `finetune` are the
package's own; `on_frozen_latents` makes one of a single function.
"""

from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.tasks.distances import Distance, Geometry, extend
from jaxal.tasks.task import GRAM_ALONE, Needs, Task, columns, distance_columns, masked_logits, own_latents


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
    geometry: Geometry  # of the pool, in the classifier's latent space
    model: Any  # what the next fit needs
    latents: jax.Array | None = None  # [P, D] of the pool, where a fit moves them; None: they are the task's


class Init(Protocol):
    """How an episode's classifier begins."""

    def __call__(self, task: Task, slots: int) -> Fitted:
        """A classifier that has seen no label, of an episode with `slots` slots for labels."""
        ...


class Fit(Protocol):
    """How it is refitted."""

    def __call__(
        self, task: Task, fitted: Fitted, labelled: Labelled, start: jax.Array, size: int, key: chex.PRNGKey
    ) -> Fitted:
        """Refit after slots start..start+size of `labelled` were filled; the key may drive minibatches."""
        ...


class MarkPending(Protocol):
    """How points count as labelled before their labels are known."""

    def __call__(self, task: Task, fitted: Fitted, picks: Labelled) -> Fitted:
        """Add picks [N] whose labels are not known yet to the labelled set of the geometry, without a refit."""
        ...


class Classifier(NamedTuple):
    """Pure functions, and what they ask of the data; a factory captures the settings."""

    init: Init
    fit: Fit
    mark_pending: MarkPending
    needs: Needs = GRAM_ALONE
    episodes_at_once: int | None = None  # that run side by side; None: all, and all seeds


class Predict(Protocol):
    """A classifier in one function."""

    def __call__(self, latents: jax.Array, labelled: Labelled, labels: jax.Array, classes: int, /) -> jax.Array:
        """Latents [R, D] of all rows, whose first P are the pool, and labels [B] of `labelled` -> logits [R, C]."""
        ...


def on_frozen_latents(predict: Predict, distance: Distance, *, raw: bool = False) -> Classifier:
    """A classifier that is fitted afresh at every step, on latents that do not change.

    Args:
      predict: fits and predicts; unused slots of the labelled set must have no say.
      distance: between latents.
      raw: give it latents as the encoder gives them, not standardised.
    """

    def init(task: Task, slots: int) -> Fitted:
        del slots
        return Fitted(masked_logits(task, jnp.zeros((sum(task.shape), task.class_mask.shape[-1]))), task.geometry, None)

    def fit(task: Task, fitted: Fitted, labelled: Labelled, start: jax.Array, size: int, key: chex.PRNGKey) -> Fitted:
        del key
        picks, new = (jax.lax.dynamic_slice_in_dim(x, start, size) for x in labelled)
        added = distance_columns(distance, task, columns(task, picks), picks)
        logits = predict(own_latents(task)[:, :-1], labelled, labelled.labels(task), task.class_mask.shape[-1])
        return Fitted(masked_logits(task, logits), extend(fitted.geometry, added, new), None)

    needs = Needs(latents=True, raw=raw)
    return Classifier(init, fit, pending_on_frozen_latents(distance), needs)


def pending_on_frozen_latents(distance: Distance) -> MarkPending:
    """`Classifier.mark_pending` where latents do not change."""

    def mark_pending(task: Task, fitted: Fitted, picks: Labelled) -> Fitted:
        added = distance_columns(distance, task, columns(task, picks.rows), picks.rows)
        return fitted._replace(geometry=extend(fitted.geometry, added, picks.mask))

    return mark_pending
