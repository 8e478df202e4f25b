"""A policy trained on fresh tasks of many data sets: at one label a step, in batches, and late in the budget."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxal.config import Config, CounterfactualConfig
from jaxal.policies import counterfactual
from jaxal.policies.counterfactual import Play, TrainState
from jaxal.policies.gain_network import Params
from jaxal.policies.gain_training import explains, make_play, own_share
from jaxal.presets import default
from pretraining.tasks import CLASSES, SYNTHETIC, fresh

KINDS = {
    "one": (0.60, {}),
    "batch": (0.25, {"batch": 10, "records": 5}),
    "late": (0.15, {"initial": 120, "records": 8}),
}
"""Kinds of episodes: their share of the iterations, and what differs from the settings."""


class Outcome(NamedTuple):
    """What training came to."""

    params: Params
    report: dict[str, Any]


def settings(iterations: int, **changes: Any) -> CounterfactualConfig:
    """Those of pretraining."""
    return replace(CounterfactualConfig(iterations=iterations), **changes)


def train(
    names: Sequence[str],
    config: CounterfactualConfig,
    seed: int,
    folder: Path,
    *,
    synthetic_share: float = 0.25,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> Outcome:
    """A policy trained on the data sets `names` and synthetic ones.

    Args:
      names: of `tasks.SETS`.
      config: how.
      seed: decides everything.
      folder: of real data.
      synthetic_share: of the tasks that are synthetic.
      progress: called with (iterations done, in all, a note).
    """
    weighted = [*names, *[SYNTHETIC] * round(len(names) * synthetic_share / (1 - synthetic_share))]
    base = replace(default(), counterfactual=config)
    plays = _plays(base)
    rng = np.random.default_rng([seed, 0x51ED])
    kinds = rng.choice(list(KINDS), config.iterations, p=[share for share, _ in KINDS.values()])
    keys = jax.random.split(jax.random.key(seed), config.iterations + 1)
    tasks = lambda i: fresh(weighted, config.episodes, seed * 100_003 + i, folder)
    began = time.perf_counter()
    state: TrainState = jax.jit(partial(counterfactual.init, plays["one"]))(tasks(0), keys[0])
    steps = {name: jax.jit(partial(counterfactual.iterate, play), donate_argnums=0) for name, play in plays.items()}
    losses: list[float] = []
    for i in range(config.iterations):
        state, loss = steps[kinds[i]](state, tasks(i + 1), own_share(base, i), keys[i + 1])
        losses.append(float(loss))
        progress(i + 1, config.iterations, f"loss {np.mean(losses[-20:]):.4f}")
    report = {
        "sets": list(names),
        "seed": seed,
        "iterations": config.iterations,
        "updates": config.iterations * config.updates,
        "seconds": round(time.perf_counter() - began, 1),
        "loss": round(float(np.mean(losses[-20:])), 4),
        "explains": explains(plays["one"], jax.tree.map(lambda x: x[None], state)),
    }
    return Outcome(jax.device_get(state.agent.params), report)


def _plays(base: Config) -> dict[str, Play]:
    """The kinds of episodes, all of one agent."""
    agent = make_play(base, CLASSES).agent
    made = {}
    for name, (_, changes) in KINDS.items():
        kind = replace(base, counterfactual=replace(base.counterfactual, **changes))
        made[name] = make_play(kind, CLASSES)._replace(agent=agent)
    return made
