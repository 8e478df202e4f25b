"""Counterfactual training for all seeds at once; see `counterfactual`."""

import time
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.classifiers import CLASSIFIERS
from jaxal.config import Config, SettingError
from jaxal.mdp.environment import Environment, make_environment
from jaxal.policies import counterfactual
from jaxal.policies.counterfactual import Play, TrainState
from jaxal.policies.gain_network import Params, explained, make_gain_agent, param_shapes
from jaxal.policies.learner import Hooks, Learned
from jaxal.policies.sight import Names
from jaxal.tasks.banks import OVER_SEEDS, Sources
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import for_each

NAMES = Names()
RULES_FIRST = 4  # iterations that the rules alone play, before the policy has learned something


class Snapshot(NamedTuple):
    """All that is needed to go on from where training stood."""

    state: TrainState  # with a leading seed axis
    iteration: np.ndarray  # [] int32 iterations done
    losses: np.ndarray  # [I, seeds], NaN in rows that are still to come


def make_play(config: Config, classes: int) -> Play:
    """What stays the same throughout training on tasks of at most so many classes.

    Raises:
      SettingError: when the probe's solver is not the one whose refits are exact.
    """
    if config.probe.solver != "newton" or config.environment.classifier != "linear_probe":
        fact = f"is {config.probe.solver!r}; counterfactual training refits the linear probe with newton"
        raise SettingError("probe", "solver", fact)
    settings = config.counterfactual
    classifier = CLASSIFIERS["linear_probe"](config, DISTANCES[config.environment.distance])
    rules = replace(
        config.environment,
        initial=settings.initial,
        batch=settings.batch,
        budget=settings.initial + 1,
        state_features=("progress",),
        action_features=("score",),
    )
    steps = settings.records * (settings.every if settings.batch == 1 else 1)
    environment = make_environment(rules, classifier, classes, steps)
    return Play(settings, NAMES, environment, make_gain_agent(settings, NAMES), config.probe.l2)


def own_share(config: Config, iteration: int) -> np.float32:
    """Share of an iteration's episodes that the policy plays."""
    return np.float32(0.0 if iteration < RULES_FIRST else config.counterfactual.own_share)


def learn(config: Config, environment: Environment, sources: Sources, key: chex.PRNGKey, hooks: Hooks) -> Learned:
    """A policy for every seed. See `Learner`."""
    del environment  # training has its own, which begins and ends elsewhere
    settings, seeds = config.counterfactual, len(sources.dataset)
    play = make_play(config, sources.bank.class_mask.shape[-1])
    keys = jax.vmap(lambda seed: jax.random.split(jax.random.fold_in(key, seed), settings.iterations + 1))(
        jnp.arange(seeds)
    )
    began = time.perf_counter()
    over = lambda function, axes: for_each(partial(function, play), axes, play.environment.episodes_at_once)
    init = jax.jit(over(counterfactual.init, (OVER_SEEDS, 0)))
    iterate = jax.jit(over(counterfactual.iterate, (0, OVER_SEEDS, None, 0)), donate_argnums=0)
    shapes_: Any = jax.eval_shape(init, sources, keys[:, 0])
    lowered = (
        init.lower(sources, keys[:, 0]),
        iterate.lower(shapes_, sources, jnp.float32(0.0), keys[:, 0]),
    )
    init, iterate = (each.compile() for each in lowered)
    compiled = time.perf_counter()
    losses = np.full((settings.iterations, seeds), np.nan, np.float32)
    found = hooks.resume(Snapshot(shapes_, np.zeros((), np.int32), losses))
    if found is None:
        state, done = init(sources, keys[:, 0]), 0
    else:
        state, done, losses = found.state, int(found.iteration), np.array(found.losses)
    for i in range(done, settings.iterations):
        state, loss = iterate(state, sources, own_share(config, i), keys[:, i + 1])
        losses[i] = loss
        if not np.isfinite(losses[i]).all():
            raise ValueError(f"the loss is not finite after iteration {i + 1}; take a smaller learning rate")
        hooks.save(i + 1, Snapshot(state, np.array(i + 1, np.int32), losses))
        hooks.progress(i + 1, settings.iterations, f"loss {losses[i].mean():.3f}")
    params = jax.device_get(state.agent.params)
    report = {
        "iterations": settings.iterations,
        "episodes": (settings.iterations + 1) * settings.episodes,
        "env_steps": (settings.iterations + 1) * settings.episodes * play.environment.steps,
        "states": (settings.iterations + 1) * settings.episodes * settings.records,
        "updates": settings.iterations * settings.updates,
        "seconds": time.perf_counter() - compiled,
        "compile_seconds": compiled - began,
        "losses": np.round(losses.astype(float), 6).tolist(),
        "explains": explains(play, state),
    }
    return Learned(params, report)


def explains(play: Play, state: TrainState) -> dict[str, float]:
    """How much of the gains in its buffer the network of the first seed explains; see `gain_network.explained`."""
    first = jax.tree.map(lambda x: x[0], state)
    held = first.buffer.experience
    full, count = bool(first.buffer.is_full), int(first.buffer.current_index)
    rows = slice(0, held.gains.shape[1] if full else count)
    decisions = jax.tree.map(lambda x: x[0, rows].astype(jnp.float32), held._replace(following=None))
    values = jax.jit(jax.vmap(play.agent.values, (None, 0)))(first.agent.params, decisions.sight)
    return explained(np.asarray(values), np.asarray(decisions.gains), np.asarray(decisions.mask) > 0)


def shapes(config: Config, classes: int, seeds: int) -> Params:
    """Of a policy's parameters. See `Learner`."""
    del classes
    one = param_shapes(config.counterfactual, NAMES)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((seeds, *x.shape), x.dtype), one)


def memory(config: Config, classes: int) -> int:
    """Of the kept states. See `Learner`."""
    del classes
    settings = config.counterfactual
    state = settings.candidates * (2 * 2 * NAMES.size + 5) + 4 * len(NAMES.summaries)
    return settings.capacity * state * (1 if settings.gamma == 0 else 2)
