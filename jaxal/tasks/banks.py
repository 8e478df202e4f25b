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


class Sources(NamedTuple):
    """What a policy is trained on."""

    bank: Task  # tasks scored on reward rows
    validation: Task  # the same tasks scored on validation rows
    dataset: jax.Array  # [M] int32, the data set that each task was cut from


OVER_SEEDS = Sources(SEEDS, SEEDS, 0)  # pyright: ignore[reportArgumentType]
"""Axes of sources with a leading seed axis, as `task.for_each` takes them."""


class Recipe(NamedTuple):
    """A task on the host: row numbers into one of the data sets."""

    source: int  # which of them
    labels: np.ndarray  # [n] int32, -1 in rows of classes that the task does not have
    classes: int  # of the data set, whether the task has them all or not
    pool: np.ndarray
    state: np.ndarray
    holdouts: tuple[np.ndarray, ...]  # that the task is scored on, one at a time


class Shape(NamedTuple):
    """What all tasks of a bank are padded to."""

    pool: int  # P
    state: int  # S
    holdouts: tuple[int, ...]  # the sum of which is H
    classes: int  # C: of the data sets, and so not a matter of which tasks are drawn


def shape_of(recipes: Sequence[Recipe]) -> Shape:
    """The smallest that holds them all."""
    holdouts = zip(*(recipe.holdouts for recipe in recipes), strict=True)
    return Shape(
        pool=max(len(recipe.pool) for recipe in recipes),
        state=max(len(recipe.state) for recipe in recipes),
        holdouts=tuple(max(map(len, parts)) for parts in holdouts),
        classes=max(recipe.classes for recipe in recipes),
    )


def training_recipes(
    config: Config, source: Dataset, parts: Split, rng: np.random.Generator, number: int = 0
) -> list[Recipe]:
    """The training tasks of one data set, the `number`th, and seed, scored on reward rows and on validation rows.

    One task is the split as it is. More are random cuts of its source and reward rows, half of the multi-class ones
    restricted to a random subset of the classes where the config asks for that. The state rows are the split's in
    every task, whatever their classes: their labels are never used.
    """
    settings, count = config.train, len(source.classes)
    if settings.tasks == 1:
        return [Recipe(number, source.labels, count, parts.source_pool, parts.state, (parts.reward, parts.validation))]
    rows = np.concatenate([parts.source_pool, parts.reward])
    out = []
    for _ in range(settings.tasks):
        classes = np.arange(count)
        if settings.class_subsets and len(classes) > 2 and rng.random() < 0.5:
            subset = np.sort(rng.choice(classes, rng.integers(2, len(classes) + 1), replace=False))
            if np.isin(source.labels[rows], subset).sum() >= 4 * len(parts.state):  # else too few rows for a task
                classes = subset
        renamed = np.full(count, -1, np.int32)
        renamed[classes] = np.arange(len(classes))
        labels = renamed[source.labels]
        kept = rng.permutation(rows[labels[rows] >= 0])
        held = len(kept) * len(parts.reward) // len(rows)
        reward, pool = np.split(kept, [held])
        pool = pool[: settings.task_pool or len(pool)]
        validation = parts.validation[labels[parts.validation] >= 0]
        out.append(Recipe(number, labels, count, pool, parts.state, (reward, validation)))
    return out


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


def testing_recipes(source: Dataset, splits: Sequence[Split]) -> list[list[Recipe]]:
    """For each seed the one task that strategies are compared on."""
    labels, classes = source.labels, len(source.classes)
    return [[Recipe(0, labels, classes, parts.pool, parts.state, (parts.test,))] for parts in splits]


def make_sources(
    config: Config, needs: Needs, sources: Sequence[Embedded], splits: Sequence[Sequence[Split]]
) -> Sources:
    """What every seed is trained on, with a leading seed axis.

    Args:
      config: settings.
      needs: of the classifier.
      sources: the data sets.
      splits: for each seed, the split of each data set.
    """
    recipes = all_training_recipes(config, [source.dataset for source in sources], splits)
    shape = shape_of([recipe for bank in recipes for recipe in bank])
    bank = make_banks(recipes, sources, shape, DISTANCES[config.environment.distance], needs)
    reward, validation = shape.holdouts
    dataset = jnp.asarray([[recipe.source for recipe in bank] for bank in recipes])
    return Sources(scored_on(bank, slice(reward)), scored_on(bank, slice(reward, reward + validation)), dataset)


def make_banks(
    recipes: Sequence[Sequence[Recipe]], sources: Sequence[Embedded], shape: Shape, distance: Distance, needs: Needs
) -> Task:
    """One bank per seed, all of the same shapes: every leaf [seeds, M, ...], but for the images that all share."""
    images, firsts = join_images(sources) if needs.images else (None, [0] * len(sources))
    holdout = lambda recipe: np.concatenate(
        [np.pad(r, (0, n - len(r)), constant_values=-1) for r, n in zip(recipe.holdouts, shape.holdouts, strict=True)]
    )
    made = (
        make_task(
            sources[recipe.source].latents,
            recipe.labels,
            Rows(recipe.pool, recipe.state, holdout(recipe)),
            distance=distance,
            needs=needs,
            shape=(shape.pool, shape.state, sum(shape.holdouts)),
            classes=shape.classes,
            first_image=firsts[recipe.source],
        )
        for bank in recipes
        for recipe in bank
    )
    return stack(made, (len(recipes), len(recipes[0])))._replace(images=images)


def join_images(sources: Sequence[Embedded]) -> tuple[Images, list[int]]:
    """The images of all data sets one after another, on the device, and where each data set's begin."""
    parts = [source.images for source in sources if source.images is not None]
    assert len(parts) == len(sources), "images are read where the classifier needs them"
    firsts = np.cumsum([0, *(len(part.pixels) for part in parts)])[:-1].tolist()
    pixels = jnp.asarray(parts[0].pixels if len(parts) == 1 else np.concatenate([part.pixels for part in parts]))
    return Images(pixels, jax.tree.map(jnp.asarray, parts[0].variables)), firsts
