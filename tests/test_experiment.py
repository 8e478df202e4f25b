"""Training tasks are cut from rows whose labels may be used, and from no others."""

from dataclasses import replace

import numpy as np
import pytest

from jaxal import presets
from jaxal.data.splits import split_all
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
