"""A policy trained on fresh tasks of many data sets: at one label a step, in batches, and late in the budget."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal.config import Config, CounterfactualConfig
from jaxal.policies import counterfactual
from jaxal.policies.counterfactual import Play
from jaxal.policies.gain_training import Snapshot, explains, make_play, own_share
from jaxal.policies.learner import NO_HOOKS, Hooks, Learned
from jaxal.presets import default
from pretraining.tasks import CLASSES, IMAGES, SYNTHETIC, fingerprint_of, fresh

FIRST = 64  # episodes before the first update, by whose states the inputs are scaled
IMAGES_OFTEN = 3  # times as often as other sets are those of images drawn
KINDS = {
    "one": (0.60, {}),
    "batch": (0.25, {"batch": 10, "records": 5}),
    "late": (0.15, {"initial": 120, "records": 8}),
}
"""Kinds of episodes: their share of the iterations, and what differs from the settings."""


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
    hooks: Hooks = NO_HOOKS,
) -> Learned:
    """A policy trained on the data sets `names` and synthetic ones, whose parameters have no seed axis.

    Args:
      names: of `tasks.SETS`.
      config: how.
      seed: decides everything.
      folder: of real data.
      synthetic_share: of the tasks that are synthetic.
      hooks: what the caller does meanwhile.
    """
    real = [name for name in names for _ in range(IMAGES_OFTEN if name in IMAGES else 1)]
    weighted = [*real, *[SYNTHETIC] * round(len(real) * synthetic_share / (1 - synthetic_share))]
    base = replace(default(), counterfactual=config)
    plays = _plays(base)
    rng = np.random.default_rng([seed, 0x51ED])
    kinds = rng.choice(list(KINDS), config.iterations, p=[share for share, _ in KINDS.values()])
    keys = jax.random.split(jax.random.key(seed), config.iterations + 1)
    tasks = lambda i, count=config.episodes: fresh(weighted, count, seed * 100_003 + i, folder)
    began = time.perf_counter()
    begin = plays["one"]._replace(config=replace(config, episodes=FIRST))
    init = jax.jit(partial(counterfactual.init, begin, None))
    steps = {name: jax.jit(partial(counterfactual.iterate, play), donate_argnums=0) for name, play in plays.items()}
    losses = np.full(config.iterations, np.nan, np.float32)
    first = tasks(0, FIRST)
    found = hooks.resume(Snapshot([jax.eval_shape(init, first, keys[0])], np.zeros((), np.int32), losses))
    if found is None:
        state, done = init(first, keys[0]), 0
    else:
        (state,), done, losses = found.states, int(found.iteration), np.array(found.losses)
    for i in range(done, config.iterations):
        state, loss = steps[kinds[i]](state, tasks(i + 1), own_share(base, i), keys[i + 1])
        losses[i] = loss
        hooks.save(i + 1, Snapshot([state], np.array(i + 1, np.int32), losses))
        hooks.progress(i + 1, config.iterations, f"loss {np.mean(losses[max(i - 19, 0) : i + 1]):.3f}")
    report = {
        "data": {name: fingerprint_of(name, folder) for name in names},
        "synthetic_share": synthetic_share,
        "seed": seed,
        "iterations": config.iterations,
        "states": (FIRST + config.iterations * config.episodes) * config.records,
        "updates": config.iterations * config.updates,
        "seconds": round(time.perf_counter() - began, 1),
        "explains": explains(plays["one"], state),
    }
    return Learned(jax.device_get(state.agent.params), report)


def _plays(base: Config) -> dict[str, Play]:
    """The kinds of episodes, all of one agent."""
    agent = make_play(base, CLASSES).agent
    made = {}
    for name, (_, changes) in KINDS.items():
        kind = replace(base, counterfactual=replace(base.counterfactual, **changes))
        made[name] = make_play(kind, CLASSES)._replace(agent=agent)
    return made
