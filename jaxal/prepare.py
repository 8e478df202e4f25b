"""What is decided before anything is computed: the rows of each part, the budget, and whether all of it can work.

Labels and groups are all that is needed for that, so a mistake is told before an image is embedded.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxal.build import learners, steps
from jaxal.config import Config, SettingError
from jaxal.data.dataset import Dataset
from jaxal.data.remarks import split_remarks
from jaxal.data.splits import PARTS, SOURCE_PARTS, Split, check_parts, split_all
from jaxal.mdp.metrics import REWARDS
from jaxal.tasks.banks import Recipe, all_training_recipes

STATE_ROWS = 30  # set aside by default
STATE_SHARE = 5  # at most one row in so many
BUDGET = 60  # labels by default
LABELS_PER_CLASS = 3  # by default, where that is more


class Prepared(NamedTuple):
    """What is decided."""

    config: Config  # nothing in it automatic any more that the policy or an episode depends on
    splits: list[Split]  # of the data set that strategies are compared on, for each seed; empty without one
    source_splits: list[tuple[Split, ...]]  # for each seed, of each data set that is trained on
    notices: list[str]  # on the splits of the data set that strategies are compared on
    source_notices: list[list[str]]  # of each data set that is trained on


class Room(NamedTuple):
    """Where episodes take place."""

    where: str  # in words
    classes: int
    pool: int  # rows of the smallest pool there


def prepare(config: Config, target: Dataset | None, sources: Sequence[Dataset]) -> Prepared:
    """Cuts the data sets and settles what depends on their sizes.

    Args:
      config: settings.
      target: the data set that strategies are compared on; None: only a policy is trained.
      sources: data sets that a policy is trained on, `target` perhaps among them: it keeps one split, so that no row is
        tested that was trained on. Without a target they are cut as if they were to be tested later.

    Raises:
      DataError, SettingError: one line, for data and settings that do not fit together.
    """
    config = _with_state_rows(config, [*([] if target is None else [target]), *sources])
    splits = [] if target is None else split_all(config, target)
    whole = lambda source: source is target or target is None
    cuts = [splits if s is target else split_all(config, s, train_only=not whole(s)) for s in sources]
    for source, cut in zip(sources, cuts, strict=True):
        check_parts(source, cut, PARTS if whole(source) else SOURCE_PARTS)
    rooms: list[Room] = []
    recipes: list[Recipe] = []
    if target is not None:
        check_parts(target, splits, PARTS)
        rooms.append(Room(target.name, len(target.classes), min(len(parts.pool) for parts in splits)))
    source_splits = list(zip(*cuts, strict=True))
    if sources:
        recipes += [r for bank in all_training_recipes(config, sources, source_splits) for r in bank]
        classes = max(len(source.classes) for source in sources)
        rooms.append(Room("the smallest training task", classes, min(len(recipe.pool) for recipe in recipes)))
    config = _with_budget(config, rooms)
    for room in rooms:
        check_room(config, room)
    if sources:
        _check_reward(config, recipes, rooms[-1].classes)
    if sources and "ddqn" in learners(config):
        _check_replay(config, steps(config, rooms[-1].classes), len(recipes) // config.evaluation.seeds)
    remarks = [split_remarks(source, config.split, cut) for source, cut in zip(sources, cuts, strict=True)]
    own = [] if target is None else split_remarks(target, config.split, splits)
    return Prepared(config, splits, source_splits, own, remarks)


def _with_state_rows(config: Config, datasets: Sequence[Dataset]) -> Config:
    """The config with the number of state rows decided: one for all data sets, as it is part of a policy's input."""
    if config.split.state:
        return config
    rows = max(1, min(STATE_ROWS, min(map(len, datasets)) // STATE_SHARE))
    return replace(config, split=replace(config.split, state=rows))


def _with_budget(config: Config, rooms: Sequence[Room]) -> Config:
    """The config with the budget decided."""
    settings = config.environment
    if settings.budget:
        return config
    firsts = [max(settings.initial, room.classes) for room in rooms]
    wanted = max(BUDGET, LABELS_PER_CLASS * max(firsts))
    least = max(firsts) + settings.batch  # one step
    budget = max(least, min(wanted, *(room.pool // 2 for room in rooms)))
    return replace(config, environment=replace(settings, budget=budget))


def check_room(config: Config, room: Room) -> None:
    """That an episode has at least one step, and a pool that lasts for all of them.

    Raises:
      SettingError: one line.
    """
    steps(config, room.classes)
    budget = config.environment.budget
    if budget > room.pool:
        fact = f"is {budget}; it must be at most {room.pool}, the pool rows of {room.where}"
        raise SettingError("environment", "budget", fact)


def _check_replay(config: Config, count: int, tasks: int) -> None:
    """That what is stored at once, by episodes of `count` steps on so many tasks, has room in the replay buffer.

    Raises:
      SettingError: one line.
    """
    settings, capacity = config.train, config.agent.replay_capacity
    most = capacity // count
    stored = {"episodes": settings.episodes, "warm_start_episodes": settings.warm_start_episodes, "tasks": tasks}
    for name, episodes in stored.items():
        if episodes > most:
            why = f"{count} steps each, and a replay buffer of {capacity:,} (agent.replay_capacity)"
            raise SettingError("train", name, f"makes {episodes} episodes at once; it must be at most {most}: {why}")


def _check_reward(config: Config, recipes: Sequence[Recipe], classes: int) -> None:
    """That the reward can be had from the reward rows of every training task: an average over one class cannot.

    Raises:
      SettingError: one line.
    """
    name = config.environment.reward
    for recipe in recipes:
        labels = recipe.labels[recipe.holdouts[0]]
        if len(np.unique(labels)) > 1:
            continue
        if np.isnan(REWARDS[name](jnp.zeros((len(labels), classes)), jnp.asarray(labels))):
            fact = f"is {name}, and the {len(labels)} reward rows of a training task are of one class; take accuracy"
            raise SettingError("environment", "reward", f"{fact}, or more rows for --split.reward")
