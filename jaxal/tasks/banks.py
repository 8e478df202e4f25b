"""Banks of tasks from data sets and their splits: what a policy is trained on, and what strategies are compared on."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.config import Config
from jaxal.data.dataset import Embedded, Images
from jaxal.data.splits import Rows, Split
from jaxal.tasks.distances import DISTANCES, Distance
from jaxal.tasks.task import SEEDS, Needs, Task, make_task, stack


class Sources(NamedTuple):
    """What a policy is trained on."""

    bank: Task  # tasks scored on reward rows
    validation: Task  # the same tasks scored on validation rows
    dataset: jax.Array  # [M] int32, the data set that each task was cut from


OVER_SEEDS = Sources(SEEDS, SEEDS, 0)  # pyright: ignore[reportArgumentType]
"""Axes of sources with a leading seed axis, as `task.for_each` takes them."""


class Recipe(NamedTuple):
    """A task on the host."""

    latents: np.ndarray  # [n, D] float32, of the whole data set
    labels: np.ndarray  # [n] int32, -1 in rows of classes that the task does not have
    rows: Rows
    classes: int  # of the data set, whether the task has them all or not
    first_image: int = 0  # place of the data set's first image among those of all data sets


def training_recipes(
    config: Config, source: Embedded, parts: Split, rng: np.random.Generator, first_image: int = 0
) -> list[tuple[Recipe, Recipe]]:
    """The training tasks of one data set and seed, each scored on reward rows and on validation rows.

    One task is the split as it is. More are random cuts of its source and reward rows, half of the multi-class ones
    restricted to a random subset of the classes where the config asks for that. The state rows are the split's in
    every task, whatever their classes: their labels are never used.
    """
    labels, settings, count = source.dataset.labels, config.train, len(source.dataset.classes)
    recipe = lambda labels, rows: Recipe(source.latents, labels, rows, count, first_image)
    if settings.tasks == 1:
        return [(recipe(labels, parts.training()), recipe(labels, parts.validating()))]
    rows = np.concatenate([parts.source_pool, parts.reward])
    out = []
    for _ in range(settings.tasks):
        classes = np.arange(count)
        if settings.class_subsets and len(classes) > 2 and rng.random() < 0.5:
            subset = np.sort(rng.choice(classes, rng.integers(2, len(classes) + 1), replace=False))
            if np.isin(labels[rows], subset).sum() >= 4 * len(parts.state):  # else too few rows for a task
                classes = subset
        renamed = np.full(count, -1, np.int32)
        renamed[classes] = np.arange(len(classes))
        task_labels = renamed[labels]
        kept = rng.permutation(rows[task_labels[rows] >= 0])
        held = len(kept) * len(parts.reward) // len(rows)
        reward, pool = np.split(kept, [held])
        pool = pool[: settings.task_pool or len(pool)]
        validation = parts.validation[task_labels[parts.validation] >= 0]
        out.append(tuple(recipe(task_labels, Rows(pool, parts.state, holdout)) for holdout in (reward, validation)))
    return out


def make_bank(recipes: Sequence[Recipe], distance: Distance, needs: Needs) -> Task:
    """The tasks, padded to common shapes.

    The number of classes, on which the size of an initial set depends, is that of the data sets: which classes a task
    has is drawn, and must not depend on which other tasks there are.
    """
    pool, state, holdout = (max(len(r.rows[part]) for r in recipes) for part in range(3))
    classes = max(r.classes for r in recipes)
    return stack(
        [
            make_task(
                r.latents,
                r.labels,
                r.rows,
                distance=distance,
                needs=needs,
                shape=(pool, state, holdout),
                classes=classes,
                first_image=r.first_image,
            )
            for r in recipes
        ]
    )


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
    seeds = []
    images, firsts = join_images(sources) if needs.images else (None, [0] * len(sources))
    for seed, parts in zip(config.evaluation.numbers, splits, strict=True):
        rng = np.random.default_rng([seed, 0x7A5C])
        tasks = [training_recipes(config, *each[:2], rng, each[2]) for each in zip(sources, parts, firsts, strict=True)]
        pairs = [pair for task in tasks for pair in task]
        dataset = jnp.asarray(np.repeat(np.arange(len(sources)), [len(task) for task in tasks]))
        seeds.append((*zip(*pairs, strict=True), dataset))
    distance = DISTANCES[config.environment.distance]
    bank, validation = (pad_and_stack([seed[i] for seed in seeds], images, distance, needs) for i in range(2))
    return Sources(bank, validation, jnp.stack([seed[2] for seed in seeds]))


def join_images(sources: Sequence[Embedded]) -> tuple[Images, list[int]]:
    """The images of all data sets one after another, on the device, and where each data set's begin."""
    parts = [source.images for source in sources if source.images is not None]
    assert len(parts) == len(sources), "images are read where the classifier needs them"
    firsts = np.cumsum([0, *(len(part.pixels) for part in parts)])[:-1].tolist()
    pixels = jnp.asarray(parts[0].pixels if len(parts) == 1 else np.concatenate([part.pixels for part in parts]))
    return Images(pixels, jax.tree.map(jnp.asarray, parts[0].variables)), firsts


def pad_and_stack(banks: Sequence[Sequence[Recipe]], images: Images | None, distance: Distance, needs: Needs) -> Task:
    """One bank per seed, all of the same shapes: every leaf [seeds, M, ...], but for the images that all share."""
    made = make_bank([recipe for bank in banks for recipe in bank], distance, needs)
    return jax.tree.map(lambda x: x.reshape(len(banks), -1, *x.shape[1:]), made)._replace(
        index=jnp.tile(jnp.arange(len(banks[0]), dtype=jnp.int32), (len(banks), 1)), images=images
    )
