"""What is decided before anything is computed: rows, budget, and whether all of it can work."""

from dataclasses import replace

import numpy as np
import pytest

from jaxal import presets
from jaxal.build import resolved
from jaxal.config import Config, SettingError
from jaxal.data.dataset import Dataset
from jaxal.prepare import prepare

BASE = presets.default()
DEFAULT = resolved(replace(BASE, evaluation=replace(BASE.evaluation, strategies=("ddqn", "margin"))))


def made(n: int, classes: int = 2, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int32) % classes
    return Dataset("made", rng.normal(size=(n, 3)).astype(np.float32), labels, tuple(map(str, range(classes))))


def settled(data: Dataset, *sources: Dataset, config: Config = DEFAULT) -> Config:
    return prepare(config, data, sources or [data]).config


@pytest.mark.parametrize(
    ("rows", "classes", "state", "budget"),
    [
        (1797, 10, 30, 60),
        (569, 2, 30, 60),
        (178, 3, 30, 15),
        (50, 2, 10, 4),
        (5000, 40, 30, 120),
    ],
)
def test_state_rows_and_budget_fit_the_data(rows, classes, state, budget):
    config = settled(made(rows, classes))
    assert (config.split.state, config.environment.budget) == (state, budget)


def test_one_number_of_state_rows_for_all_data_sets():
    small, large = made(60), made(900, seed=1)
    assert settled(small, large).split.state == settled(large, small).split.state == 12


def test_what_is_asked_for_stays():
    asked = replace(
        DEFAULT,
        split=replace(DEFAULT.split, state=7),
        environment=replace(DEFAULT.environment, budget=9),
    )
    config = settled(made(178, 3), config=asked)
    assert (config.split.state, config.environment.budget) == (7, 9)
    assert config == settled(made(178, 3), config=config)  # settled once and for all


def test_the_rows_of_the_target_are_never_trained_on():
    target, other = made(300), made(400, seed=1)
    prepared = prepare(DEFAULT, target, [target, other])
    for parts, cuts in zip(prepared.splits, prepared.source_splits, strict=True):
        assert cuts[0] is parts and len(cuts[1].test) == 0
        assert not set(parts.source_pool) & {*parts.pool, *parts.test}
    alone = prepare(DEFAULT, None, [target])
    for trained, parts in zip(alone.source_splits, prepared.splits, strict=True):
        for name in parts._fields:
            np.testing.assert_array_equal(getattr(trained[0], name), getattr(parts, name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": {"budget": 61}}, "environment.budget is 61; it must be at most 30, the pool rows of made"),
        ({"environment": {"batch": 31}}, "environment.budget is 34; it must be at most 30, the pool rows of made"),
        ({"environment": {"budget": 3}}, "environment.budget is 3; with 3 initial labels"),
        (
            {"train": {"task_pool": 9}, "environment": {"budget": 10}},
            "environment.budget is 10; it must be at most 9, the",
        ),
        (
            {"train": {"episodes": 4500}},
            "train.episodes makes 4500 episodes at once; it must be at most 4166: 12 steps",
        ),
        (
            {"agent": {"replay_capacity": 150}, "train": {"episodes": 1}},
            "train.warm_start_episodes makes 16 episodes at",
        ),
        (
            {"agent": {"replay_capacity": 150}, "train": {"episodes": 1, "warm_start_episodes": 1}},
            "train.tasks makes 16 episodes at once; it must be at most 12: 12 steps each, and a replay buffer of 150",
        ),
    ],
)
def test_what_cannot_work_is_told(changes, message):
    parts = {name: replace(getattr(DEFAULT, name), **changed) for name, changed in changes.items()}
    if "agent" in parts:
        parts["agent"] = replace(parts["agent"], minibatch=8)
    with pytest.raises(SettingError) as error:
        settled(made(178, 3), config=replace(DEFAULT, **parts))
    assert str(error.value).startswith(message)


def test_a_reward_that_cannot_be_had_is_told():
    labels = np.r_[np.zeros(170), np.ones(8)].astype(np.int32)
    data = replace(made(178), labels=labels)
    config = replace(
        DEFAULT,
        split=replace(DEFAULT.split, reward=4),
        environment=replace(DEFAULT.environment, reward="auroc"),
        train=replace(DEFAULT.train, tasks=1),
    )
    with pytest.raises(SettingError) as error:
        settled(data, config=config)
    assert str(error.value).startswith(
        "environment.reward is auroc, and the 4 reward rows of a training task are of one"
    )
    assert settled(data, config=replace(config, environment=replace(config.environment, reward="accuracy")))


def test_what_the_splits_lack_is_said_of_every_data_set():
    target, source = made(300), made(300, 3, seed=1)
    rare = replace(source, labels=np.r_[np.arange(298) % 2, [2] * 2].astype(np.int32))
    prepared = prepare(DEFAULT, target, [target, rare])
    assert prepared.notices == prepared.source_notices[0] == []
    assert all(line.startswith("no row in the ") for line in prepared.source_notices[1])
    assert prepared.source_notices[1]
