"""Banks of tasks from data sets and their splits: what a policy is trained on, and what strategies are compared on.

Which rows a task has is drawn from labels alone, so that it is known before an image has been embedded.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.config import Config
from jaxal.data.dataset import Dataset, Embedded, Images
from jaxal.data.splits import Rows, Split
from jaxal.tasks.distances import DISTANCES, Distance
from jaxal.tasks.task import SEEDS, Needs, Task, make_task, scored_on, stack

DRAWS = 20  # random cuts that are tried for a training task


class Sources(NamedTuple):
    """What a policy is trained on."""

    bank: Task  # tasks scored on reward rows
    validation: Task  # the same tasks scored on validation rows
    dataset: jax.Array  # [M] int32, the data set that each task was cut from


OVER_SEEDS = Sources(SEEDS, SEEDS, 0)  # pyright: ignore[reportArgumentType]
"""Axes of sources with a leading seed axis, as `jax.vmap` takes them."""


class Recipe(NamedTuple):
    """A task on the host: row numbers into one of the data sets."""

    source: int  # which of them
    labels: np.ndarray  # [n] int32, -1 in rows of classes that the task does not have
    pool: np.ndarray
    state: np.ndarray
    holdouts: tuple[np.ndarray, ...]  # that the task is scored on, one at a time


class Shape(NamedTuple):
    """What all tasks of a bank are padded to."""

    pool: int  # P
    state: int  # S
    holdouts: tuple[int, ...]  # the sum of which is H
    classes: int  # C: of the data sets, and so not a matter of which tasks are drawn


def training_recipes(
    config: Config, source: Dataset, parts: Split, rng: np.random.Generator, number: int = 0
) -> list[Recipe]:
    """The training tasks of one data set, the `number`th, and seed, scored on reward rows and on validation rows.

    One task is the split as it is. More are random cuts of its source and reward rows, half of the multi-class ones
    restricted to a random subset of the classes where the config asks for that. No group stands on two sides of a cut,
    and every class of a task is in its pool; where no such cut is found, the task is the split as it is. The state rows
    are the split's in every task, whatever their classes: their labels are never used.
    """
    settings = config.train
    whole = Recipe(number, source.labels, parts.source_pool, parts.state, (parts.reward, parts.validation))
    if settings.tasks == 1:
        return [whole]
    drawn = lambda: (_random_cut(config, source, parts, rng, number) for _ in range(DRAWS))
    out = [next((cut for cut in drawn() if _usable(cut)), whole) for _ in range(settings.tasks)]
    return [recipe._replace(pool=recipe.pool[: settings.task_pool or len(recipe.pool)]) for recipe in out]


def _random_cut(config: Config, source: Dataset, parts: Split, rng: np.random.Generator, number: int) -> Recipe:
    """A random cut of the source and reward rows, its pool not yet limited to the rows that the config asks for."""
    rows = np.concatenate([parts.source_pool, parts.reward])
    count = len(source.classes)
    classes = np.arange(count)
    if config.train.class_subsets and count > 2 and rng.random() < 0.5:
        subset = np.sort(rng.choice(classes, rng.integers(2, count + 1), replace=False))
        if np.isin(source.labels[rows], subset).sum() >= 4 * len(parts.state):  # else too few rows for a task
            classes = subset
    renamed = np.full(count, -1, np.int32)
    renamed[classes] = np.arange(len(classes))
    labels = renamed[source.labels]
    kept = rng.permutation(rows[labels[rows] >= 0])
    reward, pool = _cut(kept, len(kept) * len(parts.reward) // len(rows), source.groups)
    validation = parts.validation[labels[parts.validation] >= 0]
    most = len(parts.reward), len(parts.source_pool)
    return Recipe(number, labels, pool[: most[1]], parts.state, (reward[: most[0]], validation))


def _cut(rows: np.ndarray, count: int, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` of the rows, and the others; in whole groups, as near to that as these allow."""
    if groups is None:
        return rows[:count], rows[count:]
    _, firsts, places = np.unique(groups[rows], return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    sums = np.cumsum([0, *np.bincount(places)[order]])  # rows in the first so many groups
    first = np.isin(places, order[: np.abs(sums - count).argmin()])
    return rows[first], rows[~first]


def _usable(recipe: Recipe) -> bool:
    """Whether every class of a task is in its pool, and there are rows to score it on."""
    classes = np.unique(recipe.labels[recipe.labels >= 0])
    return all(map(len, recipe.holdouts)) and bool(np.isin(classes, recipe.labels[recipe.pool]).all())


def all_training_recipes(
    config: Config, sources: Sequence[Dataset], splits: Sequence[Sequence[Split]]
) -> list[list[Recipe]]:
    """The training tasks of each seed; `splits` has for each seed the split of each data set."""
    made = []
    for seed, parts in zip(config.evaluation.numbers, splits, strict=True):
        rng = np.random.default_rng([seed, 0x7A5C])
        cut = zip(sources, parts, strict=True)
        made.append([r for i, (source, p) in enumerate(cut) for r in training_recipes(config, source, p, rng, i)])
    return made


def training_shape(config: Config, sources: Sequence[Dataset], splits: Sequence[Sequence[Split]]) -> Shape:
    """What the training tasks of these data sets are padded to.

    It does not depend on what is drawn, so that a seed's tasks have the same shape whichever other seeds there are.
    """
    longest = lambda part: max(len(getattr(cut, part)) for parts in splits for cut in parts)
    limit = config.train.task_pool if config.train.tasks > 1 else 0
    pool = min(longest("source_pool"), limit or longest("source_pool"))
    classes = max(len(source.classes) for source in sources)
    return Shape(pool, longest("state"), (longest("reward"), longest("validation")), classes)


def testing_shape(source: Dataset, splits: Sequence[Split]) -> Shape:
    """What the tasks that strategies are compared on are padded to."""
    longest = lambda part: max(len(getattr(parts, part)) for parts in splits)
    return Shape(longest("pool"), longest("state"), (longest("test"),), len(source.classes))


def testing_recipes(source: Dataset, splits: Sequence[Split]) -> list[list[Recipe]]:
    """For each seed the one task that strategies are compared on."""
    return [[Recipe(0, source.labels, parts.pool, parts.state, (parts.test,))] for parts in splits]


def make_sources(
    config: Config, needs: Needs, sources: Sequence[Embedded], splits: Sequence[Sequence[Split]], lanes: Sequence[slice]
) -> list[Sources]:
    """What each lane of seeds is trained on; every array has a leading axis for the seeds of its lane.

    Args:
      config: settings.
      needs: of the classifier.
      sources: the data sets.
      splits: for each seed, the split of each data set.
      lanes: see `task.lanes`.
    """
    recipes = all_training_recipes(config, [source.dataset for source in sources], splits)
    shape = training_shape(config, [source.dataset for source in sources], splits)
    distance = DISTANCES[config.environment.distance]
    reward, validation = shape.holdouts
    made = []
    for lane, bank in zip(lanes, make_banks(recipes, sources, shape, distance, needs, lanes), strict=True):
        dataset = jnp.asarray([[recipe.source for recipe in tasks] for tasks in recipes[lane]])
        both = scored_on(bank, slice(reward)), scored_on(bank, slice(reward, reward + validation))
        made.append(Sources(*both, dataset))
    return made


def make_banks(
    recipes: Sequence[Sequence[Recipe]],
    sources: Sequence[Embedded],
    shape: Shape,
    distance: Distance,
    needs: Needs,
    lanes: Sequence[slice],
) -> list[Task]:
    """The tasks of each lane of seeds: every leaf [seeds, M, ...], but for the images that all share."""
    images, firsts = join_images(sources) if needs.images else (None, [0] * len(sources))

    def make(recipe: Recipe) -> Task:
        holdouts = zip(recipe.holdouts, shape.holdouts, strict=True)
        padded = [np.pad(rows, (0, size - len(rows)), constant_values=-1) for rows, size in holdouts]
        return make_task(
            sources[recipe.source].latents,
            recipe.labels,
            Rows(recipe.pool, recipe.state, np.concatenate(padded)),
            distance=distance,
            needs=needs,
            shape=(shape.pool, shape.state, sum(shape.holdouts)),
            classes=shape.classes,
            first_image=firsts[recipe.source],
        )

    made = []
    for lane in lanes:
        own = recipes[lane]
        bank = stack((make(recipe) for tasks in own for recipe in tasks), (len(own), len(own[0])))
        made.append(bank._replace(images=images))
    return made


def join_images(sources: Sequence[Embedded]) -> tuple[Images, list[int]]:
    """The images of all data sets one after another, on the device, and where each data set's begin."""
    parts = [source.images for source in sources if source.images is not None]
    assert len(parts) == len(sources), "images are read where the classifier needs them"
    firsts = np.cumsum([0, *(len(part.pixels) for part in parts)])[:-1].tolist()
    pixels = jnp.asarray(parts[0].pixels if len(parts) == 1 else np.concatenate([part.pixels for part in parts]))
    return Images(pixels, jax.tree.map(jnp.asarray, parts[0].variables)), firsts
