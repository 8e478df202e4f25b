"""A pool of latents before any label: standardised, and what takes long to find out of it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.build import classifier_for
from jaxal.config import Config
from jaxal.policies.over_pool import WHOLE_POOL
from jaxal.presets import default
from jaxal.tasks import distances
from jaxal.tasks.distances import DISTANCES, Geometry
from jaxal.tasks.task import Task, fill, location_and_scale, references, scaled


class Head(NamedTuple):
    """A classifier as an affine function of latents: probabilities are softmax(latents @ kernel + bias)."""

    kernel: np.ndarray  # [D, C] float32
    bias: np.ndarray  # [C] float32; minus infinity for classes that have no label yet

    def logits(self, latents: np.ndarray) -> np.ndarray:
        """latents: [n, D] float32, as they were given to `prepare_pool`. Returns [n, C] float32."""
        return latents @ self.kernel + self.bias

    def probabilities(self, latents: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Softmax of the logits, divided by a temperature: [n, C] float32."""
        logits = self.logits(latents) / temperature
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)


class Survey(NamedTuple):
    """What takes long to find out of a pool, and is small."""

    mean: np.ndarray  # [D] of the latents
    scale: np.ndarray  # [D] that they are multiplied by, once centred
    geometry: Geometry


class PreparedPool(NamedTuple):
    """What is known of a pool before any label; see `prepare_pool`."""

    bank: Task  # of one task, its labels not known
    survey: Survey
    config: Config

    @property
    def size(self) -> int:
        """m, rows of the pool."""
        return self.bank.pool_labels.shape[-1]

    def head(self, kernel: np.ndarray, constant: np.ndarray) -> Head:
        """A classifier of standardised latents, kernel [D, C] and constant [C], as one of the latents as they are."""
        own = kernel * self.survey.scale[:, None]
        return Head(own.astype(np.float32), (constant - self.survey.mean @ own).astype(np.float32))


def prepare_pool(latents: np.ndarray, config: Config | None = None, survey: Survey | None = None) -> PreparedPool:
    """Standardises the latents of a pool, and finds out how they lie to each other.

    It takes memory linear in the rows. The time is quadratic up to 10,000 rows, and linear beyond, where as many random
    ones stand for the pool in mean distances and local densities (`tasks.distances`).

    Args:
      latents: [m, D] float32; missing values (NaN) become their column's median.
      config: settings of the classifier and the environment; the default preset by default. A policy's are `.config`.
      survey: of these latents with these settings, where an earlier call has made it: it is most of the time.

    Raises:
      ValueError: one line, for a classifier that is not a linear head on latents, or latents of another shape.
    """
    made = default() if config is None else config
    if made.environment.classifier != "linear_probe":
        raise ValueError(f"classifier is {made.environment.classifier!r}; suggestions are made with linear_probe alone")
    if np.ndim(latents) != 2 or not len(latents):
        raise ValueError(f"latents have shape {np.shape(latents)}; [rows, size] is expected, with one row at the least")
    pool = fill(np.asarray(latents))[0]
    size, width = pool.shape
    if survey is not None:
        mean, scale = survey.mean, survey.scale
    elif classifier_for(made).needs.raw:
        mean, scale = np.zeros(width), np.ones(width)
    else:
        mean, scale = location_and_scale(pool)
    rows = np.empty((1, size + state_rows(made) + 1, width + 1), np.float32)
    scaled(pool, mean, scale, rows[0, :size, :-1])
    rows[0, size:] = 0.0  # nothing is known of these: see `suggestion`
    rows[..., -1] = 1.0
    z = jax.device_put(rows)
    geometry = _geometry(DISTANCES[made.environment.distance], z, size) if survey is None else survey.geometry
    return _prepared(z, mean, scale, geometry, made)


def part_of(pool: PreparedPool, rows: np.ndarray) -> PreparedPool:
    """Some of a pool's rows [p] int32 as a pool of their own, on the same scale; each is compared with these alone."""
    assert pool.bank.latents is not None
    state = np.arange(pool.size, pool.bank.latents.shape[1])
    z = pool.bank.latents[:, np.concatenate([rows, state])]
    geometry = _geometry(DISTANCES[pool.config.environment.distance], z, len(rows))
    return _prepared(z, pool.survey.mean, pool.survey.scale, geometry, pool.config)


def state_rows(config: Config) -> int:
    """Rows whose predictions are the state: a policy has as many as it was trained with, and nothing else asks."""
    return max(config.split.state, 1)


def _prepared(z: jax.Array, mean: np.ndarray, scale: np.ndarray, geometry: Geometry, config: Config) -> PreparedPool:
    """From standardised latents with the constant 1, z [1, R, D + 1], of pool, state and one hold-out row."""
    size = geometry.local_density.shape[0]
    with_grams = size <= WHOLE_POOL
    bank = Task(
        images=None,
        image_rows=jnp.zeros(z.shape[:2], jnp.int32),
        gram=distances.inner(z[0, :size], z[0, :-1])[None] if with_grams else None,
        holdout_gram=distances.inner(z[0, :size], z[0, -1:])[None] if with_grams else None,
        latents=z,
        number=jnp.zeros(1, jnp.int32),
        pool_labels=jnp.zeros((1, size), jnp.int32),
        holdout_labels=jnp.zeros((1, 1), jnp.int32),
        class_mask=jnp.ones((1, 1), bool),
        geometry=jax.tree.map(lambda x: jnp.asarray(x)[None], geometry),
        norms=_norms(z, size),
        references=jnp.asarray(references(size))[None],
    )
    return PreparedPool(bank, Survey(mean, scale, jax.tree.map(np.asarray, geometry)), config)


@partial(jax.jit, static_argnums=(0, 2))
def _geometry(distance: distances.Distance, rows: jax.Array, size: int) -> Geometry:
    return distances.geometry(distance, rows[0, :size, :-1], jnp.ones(size, bool))


@partial(jax.jit, static_argnums=1)
def _norms(rows: jax.Array, size: int) -> jax.Array:
    return jnp.sum(rows[:, :size, :-1] ** 2, -1)
