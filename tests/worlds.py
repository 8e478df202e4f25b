"""Small worlds for the tests: one task of a bundled data set, and the environment on it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import datasets

from jaxal.classifiers.classifier import Labelled
from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import Config, EnvironmentConfig, ProbeConfig
from jaxal.data.dataset import Dataset
from jaxal.data.splits import Rows
from jaxal.mdp.environment import Environment, holdout_logits, make_environment
from jaxal.mdp.episode import Step, rollout
from jaxal.mdp.metrics import accuracy
from jaxal.policies.strategy import Strategy
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Task, make_task, select

CONVERGED = ProbeConfig(solver="newton", l2=0.1, iterations=400)
"""For comparisons in which the solver's own error must not show."""


class World(NamedTuple):
    """One task and the environment on it."""

    dataset: Dataset
    rows: Rows
    bank: Task  # of the one task
    task: Task
    environment: Environment
    settings: EnvironmentConfig

    def initial(self, seed: int = 0) -> Labelled:
        return self.environment.initial_set(self.task, jax.random.key(seed))

    def initial_rows(self, seed: int = 0) -> list[int]:
        rows, mask = self.initial(seed)
        return [int(i) for i in np.asarray(rows)[np.asarray(mask)]]


def load(name: str) -> Dataset:
    """A bundled data set."""
    raw = getattr(datasets, f"load_{name}")()
    classes = tuple(str(c) for c in raw.target_names)
    return Dataset(name, raw.data.astype(np.float32), raw.target.astype(np.int32), classes)


def cut(dataset: Dataset, pool: int, state: int, holdout: int, seed: int = 0) -> Rows:
    """Disjoint random rows; the first of each class is in the pool."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    first = np.unique(dataset.labels[order], return_index=True)[1]
    order = np.concatenate([order[first], np.delete(order, first)])[: pool + state + holdout]
    return Rows(*np.split(order, [pool, pool + state]))


def compiled(bundle: Any) -> Any:
    """A bundle of functions, each compiled: the tests' time is compilation, and every operation alone would be one."""
    functions = {name: jax.jit(part) for name, part in bundle._asdict().items() if callable(part)}
    return bundle._replace(**functions)


def build(
    dataset: Dataset,
    rows: Rows,
    settings: EnvironmentConfig,
    steps: int,
    classifier: ProbeConfig = CONVERGED,
    **task_options,
) -> World:
    """A world; `task_options` go to `make_task`."""
    distance = DISTANCES[settings.distance]
    probe = linear_probe(classifier, distance)
    bank = make_task(dataset.inputs, dataset.labels, rows, distance=distance, needs=probe.needs, **task_options)
    environment = compiled(make_environment(settings, probe, bank.class_mask.shape[-1], steps))
    return World(dataset, rows, bank, select(bank, jnp.int32(0)), environment, settings)


class Played(NamedTuple):
    """An episode of one strategy."""

    accuracy: jax.Array  # [T + 1]
    picks: jax.Array  # [T, N]
    steps: Step  # everything, stacked over the steps


def player(world: World, strategies: dict[str, Strategy]) -> Callable[..., Played]:
    """(strategy's number, parameters by strategy, task, initial set, key) -> its episode; not jitted."""
    names = list(strategies)

    sequential = jnp.array([s.picks_in_sequence(Config(environment=world.settings)) for s in strategies.values()])

    def play(which, params, task, initial, key) -> Played:
        def utility(observation, key):
            branches = [partial(strategies[name].utility, params.get(name)) for name in names]
            return jax.lax.switch(which, branches, observation, key)

        first, (rest, steps) = rollout(
            world.environment,
            utility,
            task,
            initial,
            key,
            sequential=sequential[which],
            record_first=lambda state: accuracy(holdout_logits(task, state.fitted), task.holdout_labels),
            record=lambda step: (accuracy(holdout_logits(task, step.state.fitted), task.holdout_labels), step),
        )
        return Played(jnp.append(first, rest), steps.picks, steps)

    return play
