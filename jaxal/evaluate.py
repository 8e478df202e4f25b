"""Evaluation: every strategy from the same initial sets, splits and keys, in one compiled program.

The program takes the strategy as a number, so that a dozen strategies compile once; starts, and the seeds of a lane,
are vmapped.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.mdp.environment import Environment, State, holdout_logits
from jaxal.mdp.episode import rollout
from jaxal.mdp.metrics import METRICS
from jaxal.mdp.observation import Observation
from jaxal.policies.learner import Progress
from jaxal.policies.strategy import Strategy
from jaxal.report.summary import Curves
from jaxal.tasks.task import SEEDS, Task, for_each, over_lane, select, stretches

DIVERGED = "take a smaller --probe.learning-rate or --finetune.learning-rate"


class Contender(NamedTuple):
    """A strategy that is about to be compared."""

    strategy: Strategy
    sequential: bool  # whether it picks several labels a step one after another
    params: Any  # every leaf with a leading seed axis; None for those that have none


class Episodes(NamedTuple):
    """What is recorded of one strategy's episodes, of one seed."""

    metrics: dict[str, jax.Array]  # [starts, T + 1]
    picks: jax.Array  # [starts, T, N] int32 pool rows
    initial: jax.Array  # [starts, I] int32 pool rows of the initial set


class Evaluate(Protocol):
    """One strategy's episodes, of one seed."""

    def __call__(self, which: jax.Array, params: dict[str, Any], bank: Task, key: chex.PRNGKey) -> "Episodes":
        """Strategy number `which` [] on a bank of one task.

        The key alone decides the initial sets and every random number, so that strategies are compared pair by pair.
        """
        ...


def make_evaluation(environment: Environment, contenders: Mapping[str, Contender], starts: int) -> Evaluate:
    """The pure function that `evaluate_all` maps over seeds, from `starts` initial sets."""
    sequential = jnp.array([contender.sequential for contender in contenders.values()])

    def measure(task: Task, state: State) -> dict[str, jax.Array]:
        logits = holdout_logits(task, state.fitted)
        broken = jnp.any(jnp.isnan(logits) | (logits == jnp.inf))
        values = {name: metric(logits, task.holdout_labels) for name, metric in METRICS.items()}
        return jax.tree.map(lambda value: jnp.where(broken, jnp.nan, value), values)

    def evaluate(which: jax.Array, params: dict[str, Any], bank: Task, key: chex.PRNGKey) -> Episodes:
        task = select(bank, jnp.int32(0))

        def utility(observation: Observation, key: chex.PRNGKey) -> jax.Array:
            branches = [partial(contender.strategy.utility, params[name]) for name, contender in contenders.items()]
            return jax.lax.switch(which, branches, observation, key)

        def episode(key: chex.PRNGKey) -> Episodes:
            start_key, run_key = jax.random.split(key)
            initial = environment.initial_set(task, start_key)
            first, (rest, picks) = rollout(
                environment,
                utility,
                task,
                initial,
                run_key,
                sequential=sequential[which],
                record_first=lambda state: measure(task, state),
                record=lambda step: (measure(task, step.state), step.picks),
            )
            metrics = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)
            return Episodes(metrics, picks, initial.rows)

        return for_each(episode, (0,), environment.episodes_at_once)(jax.random.split(key, starts))

    return evaluate


class ComparisonHooks(NamedTuple):
    """What the caller does while strategies are compared."""

    progress: Progress = lambda done, total, note: None
    known: Mapping[str, Curves] = MappingProxyType({})
    """curves of an interrupted comparison, which are not computed again"""
    save: Callable[[str, Curves], None] = lambda name, curves: None
    """called with (name, curves) after each strategy"""


NO_HOOKS = ComparisonHooks()


class Compared(NamedTuple):
    """What `evaluate_all` found."""

    curves: dict[str, Curves]
    compile_seconds: float  # of the one program that runs every strategy; 0 where all curves were known


def evaluate_all(
    environment: Environment,
    contenders: Mapping[str, Contender],
    banks: Sequence[Task],
    keys: chex.PRNGKey,
    *,
    starts: int,
    hooks: ComparisonHooks = NO_HOOKS,
) -> Compared:
    """Curves of every strategy.

    Args:
      environment: made for the banks' shapes.
      contenders: the strategies by name.
      banks: of each lane of seeds, see `task.lanes`; one task a seed: every leaf [seeds, 1, ...].
      keys: [seeds], consumed here.
      starts: initial sets per seed.
      hooks: progress, and what to do with curves.

    Raises:
      ValueError: when a classifier's logits are no longer finite.
    """
    evaluate = make_evaluation(environment, contenders, starts)
    sizes = [len(bank.number) for bank in banks]
    run = jax.jit(over_lane(evaluate, (None, 0, SEEDS, 0), sizes[0]))
    params = {name: contender.params for name, contender in contenders.items()}
    own = lambda lane: jax.tree.map(lambda x: x[lane], params)
    lanes = [(own(lane), bank, keys[lane]) for bank, lane in zip(banks, stretches(sizes), strict=True)]
    out: dict[str, Curves] = {}
    compiled, compile_seconds = None, 0.0
    for i, name in enumerate(contenders):
        if name in hooks.known:
            out[name] = hooks.known[name]
            continue
        began = time.perf_counter()
        if compiled is None:
            compiled = run.lower(jnp.int32(i), *lanes[0]).compile()
            compile_seconds, began = time.perf_counter() - began, time.perf_counter()
        parts = jax.device_get([compiled(jnp.int32(i), *lane) for lane in lanes])
        found = jax.tree.map(lambda *x: np.concatenate(x), *parts)
        if np.isnan(found.metrics["accuracy"]).any():
            raise ValueError(f"{name}: the classifier's logits are no longer finite; {DIVERGED}")
        out[name] = Curves(found.metrics, found.picks, time.perf_counter() - began, found.initial)
        hooks.save(name, out[name])
        hooks.progress(i + 1, len(contenders), name)
    return Compared(out, compile_seconds)
