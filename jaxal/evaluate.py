"""Evaluation: every strategy from the same initial sets, splits and keys, in one compiled program.

The program takes the strategy as a number, so that a dozen strategies compile once; seeds and starts are vmapped.
"""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.mdp.environment import Environment, State, holdout_logits
from jaxal.mdp.episode import rollout
from jaxal.mdp.metrics import METRICS
from jaxal.policies.strategies import Strategy
from jaxal.tasks.task import SEEDS, Task, for_each, select

DIVERGED = "take a smaller --probe.learning-rate or --finetune.learning-rate"


class Curves(NamedTuple):
    """Learning curves of one strategy."""

    metrics: dict[str, np.ndarray]  # name -> [seeds, starts, T + 1]
    picks: np.ndarray  # [seeds, starts, T, N] int32 pool rows
    seconds: float


def make_evaluation(
    environment: Environment, strategies: dict[str, Strategy], batch: int, starts: int, at_once: int | None = None
) -> Callable[[jax.Array, dict[str, Any], Task, chex.PRNGKey], Any]:
    """A pure function of one seed: (strategy number, params by name, bank of one task, key) -> metrics and picks.

    The key alone decides the initial sets and every random number, so that strategies are compared pair by pair.
    `at_once` episodes run side by side (None: all).
    """
    names = list(strategies)
    sequential = jnp.array([strategies[name].sequential for name in names])

    def measure(task: Task, state: State):
        logits = holdout_logits(task, state.fitted)
        broken = jnp.any(jnp.isnan(logits) | (logits == jnp.inf))
        values = {name: metric(logits, task.holdout_labels) for name, metric in METRICS.items()}
        return jax.tree.map(lambda value: jnp.where(broken, jnp.nan, value), values)

    def evaluate(which: jax.Array, params: dict[str, Any], bank: Task, key: chex.PRNGKey):
        task = select(bank, jnp.int32(0))

        def score(observation, key):
            branches = [lambda o, k, name=name: strategies[name].score(params.get(name), o, k) for name in names]
            return jax.lax.switch(which, branches, observation, key)

        def episode(key):
            start_key, run_key = jax.random.split(key)
            first, (rest, picks) = rollout(
                environment,
                score,
                task,
                environment.initial_set(task, start_key),
                run_key,
                batch=batch,
                sequential=sequential[which],
                record_first=lambda state: measure(task, state),
                record=lambda step: (measure(task, step.state), step.picks),
            )
            return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest), picks

        return for_each(episode, (0,), at_once)(jax.random.split(key, starts))

    return evaluate


def evaluate_all(
    environment: Environment,
    strategies: dict[str, Strategy],
    params: dict[str, Any],
    banks: Task,
    key: chex.PRNGKey,
    *,
    batch: int,
    starts: int,
    at_once: int | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
    known: Mapping[str, Curves] = MappingProxyType({}),
    save: Callable[[str, Curves], None] = lambda name, curves: None,
) -> dict[str, Curves]:
    """Curves of every strategy.

    Args:
      environment: made for the banks' shapes.
      strategies: by name.
      params: parameters by strategy name, each leaf with a leading seed axis.
      banks: one task a seed: every leaf [seeds, 1, ...].
      key: consumed here.
      batch: N, labels a step.
      starts: initial sets per seed.
      at_once: episodes that run side by side, of one seed after another; None: all episodes of all seeds.
      progress: called with (strategies done, all, name).
      known: curves of an interrupted comparison, which are not computed again.
      save: called with (name, curves) after each strategy.

    Raises:
      ValueError: when a classifier's logits are no numbers.
    """
    seeds = banks.index.shape[0]
    evaluate = make_evaluation(environment, strategies, batch, starts, at_once)
    run = jax.jit(for_each(evaluate, (None, 0, SEEDS, 0), None if at_once is None else 1))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(seeds))
    out = {}
    for i, name in enumerate(strategies):
        if name in known:
            out[name] = known[name]
            continue
        began = time.perf_counter()
        metrics, picks = jax.device_get(run(jnp.int32(i), params, banks, keys))
        if np.isnan(metrics["accuracy"]).any():
            raise ValueError(f"{name}: the classifier's logits are no longer numbers; {DIVERGED}")
        out[name] = Curves(metrics, picks, time.perf_counter() - began)
        save(name, out[name])
        progress(i + 1, len(strategies), name)
    return out
