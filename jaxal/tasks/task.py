"""A task: one pool to label from, with the rows that give the state and the rows that score the classifier.

Symbols, used in every module: M tasks in a bank, P pool rows, S state rows, H hold-out rows, R = P + S + H rows in
all, D latent size (with the constant 1), C classes, B slots for labels, N labels a step, T steps, K candidates,
F action features.

Tasks of different data sets are padded to common shapes and stacked to a `Task` whose fields have a leading axis M, a
*bank*. `select` takes one out of a bank without copying the Gram matrices: an episode gathers from them only the
columns of the points that it labels, so any number of episodes may share one bank. Images are shared by all banks.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.data.dataset import ROUNDING, Images, fill_missing
from jaxal.data.splits import Rows
from jaxal.tasks import distances
from jaxal.tasks.distances import Distance

Result = TypeVar("Result")
BLOCK = 4096  # rows that are standardised at a time
GRAM_LIMIT = 2**31  # bytes; a larger Gram matrix is not made, and columns are computed from the latents


class Needs(NamedTuple):
    """What a classifier needs of its tasks."""

    gram: bool = True  # inner products of latents
    latents: bool = False  # the latents themselves
    raw: bool = False  # latents as the encoder gives them, not standardised
    images: bool = False  # the images and the encoder's weights


GRAM_ALONE = Needs()


class Task(NamedTuple):
    """What an episode needs to know of its data."""

    images: Images | None  # of all data sets, shared by all tasks and seeds
    image_rows: jax.Array  # [R] int32 places in `images.pixels`
    gram: jax.Array | None  # [M, P, P + S] inner products of latents, pool with pool and state rows, of the whole bank
    holdout_gram: jax.Array | None  # [M, P, H] pool with hold-out rows: apart, as tasks on one pool may share the other
    latents: jax.Array | None  # [M, R, D] where there is no Gram matrix, and for solvers that need them
    number: jax.Array  # [] int32, the task's place in the bank
    pool_labels: jax.Array  # [P] int32; -1: padding
    holdout_labels: jax.Array  # [H] int32; -1: padding
    class_mask: jax.Array  # [C] bool; False: not a class of this task
    geometry: distances.Geometry  # of the pool, nothing labelled
    norms: jax.Array  # [P] squared norms of the pool's latents, without the constant 1

    @property
    def pool_mask(self) -> jax.Array:
        """[P] bool, False on padding."""
        return self.pool_labels >= 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(P, S, H)."""
        rows, pool, holdout = (x.shape[-1] for x in (self.image_rows, self.pool_labels, self.holdout_labels))
        return pool, rows - pool - holdout, holdout


SEEDS = Task(None, *[0] * (len(Task._fields) - 1))  # pyright: ignore[reportArgumentType]
"""Axes of a bank with a leading seed axis, as `jax.vmap` and `for_each` take them."""


def for_each(function: Callable[..., Result], axes: Any, at_once: int | None) -> Callable[..., Result]:
    """`function` over one axis of its arguments, as `jax.vmap`, but with no more than `at_once` calls at a time.

    Args:
      function: of arrays and trees of arrays.
      axes: for each argument 0, None (shared by all calls), or a tree of these, as `in_axes` of `jax.vmap`.
      at_once: calls that run side by side; None: all.
    """
    if at_once is None:
        return jax.vmap(function, axes)

    def run(*arguments: Any) -> Any:
        def call(i: jax.Array) -> Result:
            pick = lambda axis, part: part if axis is None else jax.tree.map(lambda x: x[i], part)
            return function(*jax.tree.map(pick, axes, arguments, is_leaf=lambda axis: axis is None))

        keep = lambda axis, part: None if axis is None else part
        mapped = jax.tree.map(keep, axes, arguments, is_leaf=lambda axis: axis is None)
        count = len(jax.tree.leaves(mapped)[0])
        return jax.lax.map(call, jnp.arange(count), batch_size=at_once if at_once > 1 else None)

    return run


def lanes(seeds: int, episodes_at_once: int | None) -> list[slice]:
    """Which of the seeds run side by side, lane after lane; `episodes_at_once` as a classifier says.

    On an accelerator all do, by `vmap`. On a CPU each has a lane of its own: one program then runs every seed, so that
    its results are the same to the last bit whether it has neighbours or not. Batched products of matrices, which
    round otherwise than single ones, would not be faster there.
    """
    if episodes_at_once is None and jax.default_backend() != "cpu":
        return [slice(0, seeds)]
    return [slice(i, i + 1) for i in range(seeds)]


def stretches(lengths: Iterable[int]) -> list[slice]:
    """Consecutive slices of these lengths, such as the seeds of each lane."""
    ends = np.cumsum([0, *lengths]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]


def over_lane(function: Callable[..., Result], axes: Any, seeds: int) -> Callable[..., Result]:
    """`function` over the seeds of a lane, side by side; a single one is spared the batch axis."""
    return for_each(function, axes, None if seeds > 1 else 1)


def fill(pool: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """`pool` [P, D] and `others` [., D] with missing values (NaN) replaced by the pool's median."""
    parts = (pool, *others)
    if any(np.isnan(np.sum(part)) for part in parts):  # a twentieth of the time of looking at each
        parts = np.split(fill_missing(np.concatenate(parts), np.arange(len(pool))), np.cumsum([*map(len, parts)])[:-1])
    return [part.astype(np.float32, copy=False) for part in parts]


def standardise(pool: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """`pool` [P, D] and `others` [., D] centred and scaled by the pool's means and deviations.

    They are also divided by sqrt(D), so that a latent's mean squared norm is 1 whatever its size, and one
    regularisation strength or learning rate means the same for every encoder. Columns that are constant but for
    rounding become zero, and missing values (NaN) the pool's median.
    """
    parts = fill(pool, *others)
    mean, scale = location_and_scale(parts[0])
    return [scaled(part, mean, scale, np.empty(part.shape, np.float32)) for part in parts]


def location_and_scale(pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `standardise` subtracts from a pool [P, D] without missing values, and then multiplies by: [D], [D]."""
    mean = pool.mean(0, dtype=np.float64)
    deviation = np.sqrt(sum(np.sum((block - mean) ** 2, 0) for block in _blocks(pool)) / len(pool))
    moving = deviation > ROUNDING * np.abs(mean)  # whatever the column's unit
    return mean, np.where(moving, 1.0 / np.where(moving, deviation, 1.0), 0.0) / np.sqrt(max(moving.sum(), 1))


def scaled(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Writes (x - mean) * scale of rows [n, D] to `out` [n, D] float32; computed in float64, a block at a time."""
    for block, written in zip(_blocks(x), _blocks(out), strict=True):
        written[:] = (block - mean) * scale
    return out


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    """Views of rows [n, D], so few at a time that a copy of them in float64 is small."""
    return np.split(rows, range(BLOCK, len(rows), BLOCK))


def make_task(
    latents: np.ndarray,
    labels: np.ndarray,
    rows: Rows,
    *,
    distance: Distance,
    needs: Needs = GRAM_ALONE,
    shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    first_image: int = 0,
    gram_limit: int = GRAM_LIMIT,
) -> Task:
    """A bank of one task.

    Args:
      latents: [n, D] float32, of the whole data set.
      labels: [n] int32, 0..C-1 (-1 in rows that the task does not use).
      rows: which rows are pool, state and hold-out; -1 among the hold-out rows is padding.
      distance: between latents.
      needs: of the classifier.
      shape: (P, S, H) to pad to; the task's own by default. State rows are never padded.
      classes: C to pad to; the task's own by default.
      first_image: place of the data set's first image among the images of all data sets.
      gram_limit: see `GRAM_LIMIT`.
    """
    chex.assert_rank([latents, labels], [2, 1])
    own = (len(rows.pool), len(rows.state), len(rows.holdout))
    sizes = shape or own
    assert sizes[1] == own[1], "the number of state rows is part of the policy's input"
    pad = lambda x, size: np.pad(x, (0, size - len(x)), constant_values=-1).astype(np.int32)
    places = np.concatenate([pad(r, size) for r, size in zip(rows, sizes, strict=True)])
    used = places >= 0
    parts = (fill if needs.raw else standardise)(*(latents[r[r >= 0]] for r in rows))
    z = np.zeros((len(places), latents.shape[1]), np.float32)
    z[used] = np.concatenate(parts)
    present = int(labels.max()) + 1
    row_labels = np.where(used, labels[places], -1).astype(np.int32)
    pool_labels = row_labels[: sizes[0]]
    with_gram, with_latents = held(sizes, distance, needs, gram_limit)
    grams, latent_rows, geometry, norms = _prepare(distance, sizes, with_gram, with_latents, z, pool_labels >= 0)
    task = Task(
        images=None,
        image_rows=jnp.asarray(np.where(used, places, 0) + first_image, jnp.int32),
        gram=grams[0],
        holdout_gram=grams[1],
        latents=latent_rows,
        number=jnp.zeros((), jnp.int32),
        pool_labels=jnp.asarray(pool_labels),
        holdout_labels=jnp.asarray(row_labels[sizes[0] + sizes[1] :]),
        class_mask=jnp.arange(classes or present) < present,
        geometry=geometry,
        norms=norms,
    )
    return jax.tree.map(lambda x: x[None], task)


def held(
    sizes: tuple[int, int, int], distance: Distance, needs: Needs, gram_limit: int = GRAM_LIMIT
) -> tuple[bool, bool]:
    """Whether tasks of these sizes (P, S, H) hold a Gram matrix, and whether latents."""
    with_gram = needs.gram and 4 * sizes[0] * sum(sizes) <= gram_limit
    return with_gram, needs.latents or (needs.gram and (not with_gram or distance.from_inner is None))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _prepare(
    distance: Distance,
    sizes: tuple[int, int, int],
    with_gram: bool,
    with_latents: bool,
    z: jax.Array,
    mask: jax.Array,
) -> tuple[tuple[jax.Array | None, jax.Array | None], jax.Array | None, distances.Geometry, jax.Array]:
    """Gram matrices, latents with the constant 1, geometry and norms of one task."""
    pool, state, _ = sizes
    z1 = jnp.concatenate([z, jnp.ones((len(z), 1), z.dtype)], 1)
    grams = (None, None)
    if with_gram:
        grams = distances.inner(z1[:pool], z1[: pool + state]), distances.inner(z1[:pool], z1[pool + state :])
    geometry = distances.geometry(distance, z[:pool], mask)
    return grams, (z1 if with_latents else None), geometry, jnp.sum(z[:pool] ** 2, -1)


def stack(tasks: Iterable[Task], lead: tuple[int, ...]) -> Task:
    """One bank of banks of one task, of equal shapes and in their order; every leaf has the leading axes `lead`.

    Each is moved to its place as it comes, so that no more than one is held beside the bank.
    """
    bank: Any = None
    for place, task in zip(np.ndindex(lead), tasks, strict=True):
        if bank is None:
            bank = jax.tree.map(lambda x: jnp.zeros((*lead, *x.shape[1:]), x.dtype), task)
        bank = _put(bank, task, jnp.asarray(place, jnp.int32))
    return bank._replace(number=jnp.broadcast_to(jnp.arange(lead[-1], dtype=jnp.int32), lead))


@partial(jax.jit, donate_argnums=0)
def _put(bank: Task, task: Task, place: jax.Array) -> Task:
    """A bank with a task at `place` [axes] int32."""
    return jax.tree.map(lambda into, new: into.at[tuple(place)].set(new[0]), bank, task)


def scored_on(bank: Task, holdout: slice) -> Task:
    """The same tasks, with some of their hold-out rows; what does not depend on these is shared, not copied."""
    first = bank.image_rows.shape[-1] - bank.holdout_labels.shape[-1]

    def some(rows: jax.Array, axis: int) -> jax.Array:
        """Of [..., R, ...]: pool and state rows, and the chosen hold-out rows."""
        before, after = jnp.split(rows, [first], axis)
        return jnp.concatenate([before, jnp.take(after, np.arange(after.shape[axis])[holdout], axis)], axis)

    return bank._replace(
        image_rows=some(bank.image_rows, -1),
        holdout_gram=None if bank.holdout_gram is None else bank.holdout_gram[..., holdout],
        latents=None if bank.latents is None else some(bank.latents, -2),
        holdout_labels=bank.holdout_labels[..., holdout],
    )


def select(bank: Task, number: jax.Array) -> Task:
    """The task at `number` [] int32 of a bank; Gram matrices, latents and images stay the bank's."""
    whole = {name: getattr(bank, name) for name in ("images", "gram", "holdout_gram", "latents")}
    small = jax.tree.map(lambda x: x[number], bank._replace(**dict.fromkeys(whole)))
    return small._replace(**whole, number=number)


def masked_logits(task: Task, logits: jax.Array) -> jax.Array:
    """`logits` [., C], minus infinity for the classes that the task does not have."""
    return jnp.where(task.class_mask, logits, -jnp.inf)


def columns(task: Task, picks: jax.Array) -> jax.Array:
    """Inner products of the latents of pool rows `picks` [N] int32 with those of all rows: [N, R] float32."""
    chex.assert_rank(picks, 1)
    if task.gram is not None and task.holdout_gram is not None:
        return jnp.concatenate([task.gram[task.number, picks], task.holdout_gram[task.number, picks]], -1)
    z = own_latents(task)
    return distances.inner(z[picks], z)


def pool_products(task: Task, picks: jax.Array, others: jax.Array | None = None) -> jax.Array:
    """Inner products within the pool, without the constant 1.

    Args:
      task: the data.
      picks: [N] int32 pool rows.
      others: [L] int32 pool rows; None: the whole pool.

    Returns:
      [N, L] float32.
    """
    chex.assert_rank(picks, 1)
    pool = task.norms.shape[-1]
    if task.gram is not None:
        wanted = (picks, slice(pool)) if others is None else (picks[:, None], others)
        return task.gram[(task.number, *wanted)] - 1.0
    z = own_latents(task)
    return distances.inner(z[picks], z[:pool] if others is None else z[others]) - 1.0


def own_latents(task: Task) -> jax.Array:
    """The task's latents [R, D], the constant 1 last; for classifiers that say that they need them."""
    assert task.latents is not None, "the bank was made without latents; see Needs"
    return task.latents[0] if task.latents.shape[0] == 1 else task.latents[task.number]


def distance_columns(distance: Distance, task: Task, inner_columns: jax.Array, picks: jax.Array) -> jax.Array:
    """Distances from pool rows `picks` [N] to the pool, given their `columns` [N, R]: [N, P] float32."""
    chex.assert_rank([inner_columns, picks], [2, 1])
    pool = task.norms.shape[-1]
    if distance.from_inner is None:
        z = own_latents(task)[:pool, :-1]
        return distances.pairwise(distance, z[picks], z)
    products = inner_columns[:, :pool] - 1.0  # without the constant
    return distance.from_inner(products, task.norms[picks], task.norms)
