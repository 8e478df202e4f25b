"""Training tasks are cut from rows whose labels may be used, and from no others."""

from dataclasses import replace

import numpy as np
import pytest

from jaxal import presets
from jaxal.data.dataset import Dataset
from jaxal.data.splits import Split, split_all
from jaxal.tasks.banks import training_recipes


@pytest.mark.parametrize("tasks", [1, 6])
@pytest.mark.parametrize("subsets", [False, True])
def test_training_tasks_keep_to_source_and_reward_rows(digits, tasks, subsets):
    base = presets.default()
    settings = replace(
        base,
        split=replace(base.split, state=30),
        train=replace(base.train, tasks=tasks, task_pool=100, class_subsets=subsets),
    )
    parts = split_all(settings, digits)[0]
    made = training_recipes(settings, digits, parts, np.random.default_rng(0))
    assert len(made) == tasks
    allowed = set(parts.source_pool) | set(parts.reward)
    for recipe in made:
        pool, (reward, validation) = set(recipe.pool), map(set, recipe.holdouts)
        assert pool and reward and not pool & reward and pool | reward <= allowed
        assert validation <= set(parts.validation)
        np.testing.assert_array_equal(recipe.state, parts.state)
        assert all((recipe.labels[rows] >= 0).all() for rows in (recipe.pool, *recipe.holdouts))


def grouped(groups: np.ndarray, labels: np.ndarray) -> Dataset:
    inputs = np.random.default_rng(0).normal(size=(len(labels), 3)).astype(np.float32)
    names = tuple(map(str, range(labels.max() + 1)))
    return Dataset("grouped", inputs, labels.astype(np.int32), names, groups.astype(np.int32))


@pytest.mark.parametrize("subsets", [False, True])
@pytest.mark.parametrize("size", [1, 5, 40])
def test_no_group_stands_on_two_sides_of_a_training_task(size, subsets):
    rng = np.random.default_rng(size)
    data = grouped(np.arange(900) // size, rng.integers(0, 3, 900))
    base = presets.default()
    settings = replace(
        base, split=replace(base.split, state=30), train=replace(base.train, tasks=6, class_subsets=subsets)
    )
    for parts in split_all(settings, data):
        for recipe in training_recipes(settings, data, parts, np.random.default_rng(0)):
            pool, reward = (set(data.groups[rows]) for rows in (recipe.pool, recipe.holdouts[0]))
            assert pool and reward and not pool & reward
            assert len(recipe.pool) <= len(parts.source_pool) and len(recipe.holdouts[0]) <= len(parts.reward)
            assert set(recipe.labels[recipe.pool]) == set(range(recipe.labels.max() + 1))


def test_every_class_of_a_training_task_is_in_its_pool():
    labels = np.r_[np.zeros(400), np.ones(2)].astype(int)
    data = grouped(np.r_[np.arange(400), [400, 400]], labels)
    some = np.arange(20)
    parts = Split(np.r_[20:200, 400, 401], some, some, np.arange(200, 320), np.arange(320, 400), some)
    base = presets.default()
    settings = replace(base, train=replace(base.train, tasks=8))
    for recipe in training_recipes(settings, data, parts, np.random.default_rng(0)):
        assert {400, 401} <= set(recipe.pool)
