"""Milliseconds that a step takes with each strategy, refit and scoring included, in pools of 1,000 and 4,000 rows.

Command:  python experiments/benchmarks/bench_strategies.py
Cost:     about 6 minutes on 2 CPU cores, most of it compilation.

One episode from 8 to 60 labels, one a step, on made-up latents of 8 classes, each strategy in a compiled program of its
own; the best of the rounds counts. What a strategy prepares on the host before an episode is timed apart.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.classifiers.classifier import Labelled
from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import Config, EnvironmentConfig
from jaxal.data.splits import Rows
from jaxal.mdp.environment import Environment, make_environment
from jaxal.mdp.episode import rollout
from jaxal.policies import LEARNERS, STRATEGIES
from jaxal.policies.strategy import Setting, Strategy
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Task, make_task, select, standardise

STATE, HOLDOUT, SIZE, CLASSES, BUDGET = 30, 500, 256, 8, 60
CONFIG = Config(environment=EnvironmentConfig(budget=BUDGET))
NAMES = [name for name in STRATEGIES if name not in (*LEARNERS, "untrained_q")]  # which need to be trained


class World(NamedTuple):
    """What an episode is played on."""

    environment: Environment
    bank: Task
    initial: Labelled
    setting: Setting


def make_world(pool: int) -> World:
    """Overlapping clusters as latents."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, pool + STATE + HOLDOUT).astype(np.int32)
    inner = rng.standard_normal((CLASSES, 24))[labels] + 0.9 * rng.standard_normal((len(labels), 24))
    latents = inner @ rng.standard_normal((24, SIZE)) + rng.standard_normal((len(labels), SIZE))
    latents = latents.astype(np.float32)
    rows = Rows(*np.split(np.arange(len(labels)), [pool, pool + STATE]))
    distance = DISTANCES[CONFIG.environment.distance]
    probe = linear_probe(CONFIG.probe, distance)
    environment = make_environment(CONFIG.environment, probe, CLASSES, BUDGET - CLASSES)
    bank = make_task(latents, labels, rows, distance=distance)
    setting = Setting(
        config=CONFIG,
        seed=0,
        classes=CLASSES,
        latents=standardise(latents[:pool])[0],
        labels=labels[:pool],
        labels_before=np.arange(CLASSES, BUDGET),
        learned=None,
    )
    return World(environment, bank, environment.initial_set(select(bank, jnp.int32(0)), jax.random.key(0)), setting)


def compiled(world: World, strategy: Strategy, params: Any) -> Callable[[], Any]:
    """A call of one whole episode."""

    def episode(bank: Task, params: Any, initial: Labelled, key: jax.Array) -> Any:
        return rollout(
            world.environment,
            lambda seen, key: strategy.utility(params, seen, key),
            select(bank, jnp.int32(0)),
            initial,
            key,
            sequential=jnp.array(False),
            record_first=lambda state: state.value,
            record=lambda step: step.state.value,
        )

    run = jax.jit(episode)
    call = lambda: jax.block_until_ready(run(world.bank, params, world.initial, jax.random.key(1)))
    call()
    return call


def main() -> None:
    """Time every strategy and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pools", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--strategies", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'':24s}" + "".join(f"{pool:>9,} rows  prepared" for pool in options.pools))
    worlds = [make_world(pool) for pool in options.pools]
    for name in options.strategies:
        strategy, line = STRATEGIES[name], ""
        for world in worlds:
            began = time.perf_counter()
            params = None if strategy.prepare is None else strategy.prepare(world.setting)
            prepared = time.perf_counter() - began
            call, seconds = compiled(world, strategy, params), []
            for _ in range(options.rounds):
                began = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - began)
            line += f"{1000 * min(seconds) / world.environment.steps:11.2f} ms {prepared:8.1f} s"
        print(f"{name:24s}{line}", flush=True)


if __name__ == "__main__":
    main()
