"""Counterfactual training for all seeds at once; see `counterfactual`."""

import time
from collections.abc import Sequence
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
from jaxal.policies import counterfactual, pretrained
from jaxal.policies.counterfactual import Play, TrainState
from jaxal.policies.gain_network import Judge, Params, explained_by_phase, make_gain_agent, param_shapes
from jaxal.policies.iteration import mean_accuracies
from jaxal.policies.learner import Hooks, Learned
from jaxal.policies.sight import Names
from jaxal.report.statistics import rounded
from jaxal.tasks.banks import OVER_SEEDS, Sources
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import over_lane, stretches

NAMES = Names()
RULES_FIRST = 4  # iterations that the rules alone play, before the policy has learned something


class Snapshot(NamedTuple):
    """All that is needed to go on from where training stood."""

    states: list[TrainState]  # of each lane, with a leading seed axis
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


def learn(
    config: Config, environment: Environment, sources: Sequence[Sources], keys: chex.PRNGKey, hooks: Hooks
) -> Learned:
    """A policy for every seed. See `Learner`."""
    settings = config.counterfactual
    lanes = stretches(len(own.dataset) for own in sources)
    play = make_play(config, sources[0].bank.class_mask.shape[-1])
    start = beginning(config)
    keys = jax.vmap(lambda key: jax.random.split(key, settings.iterations + 1))(keys)
    began = time.perf_counter()
    init, iterate, shapes_ = _compile(play, start, sources[0], keys[lanes[0]])
    compiled = time.perf_counter()
    losses = np.full((settings.iterations, lanes[-1].stop), np.nan, np.float32)
    found = hooks.resume(Snapshot([shapes_] * len(lanes), np.zeros((), np.int32), losses))
    if found is None:
        states, done = [init(start, own, keys[lane, 0]) for own, lane in zip(sources, lanes, strict=True)], 0
    else:
        states, done, losses = list(found.states), int(found.iteration), np.array(found.losses)
    for i in range(done, settings.iterations):
        share = own_share(config, i)
        for k, (own, lane) in enumerate(zip(sources, lanes, strict=True)):
            states[k], losses[i, lane] = iterate(states[k], own, share, keys[lane, i + 1])
        if not np.isfinite(losses[i]).all():
            raise ValueError(f"the loss is not finite after iteration {i + 1}; take a smaller learning rate")
        hooks.save(i + 1, Snapshot(states, np.array(i + 1, np.int32), losses))
        hooks.progress(i + 1, settings.iterations, f"loss {losses[i].mean():.3f}")
    params: Any = jax.tree.map(lambda *x: jnp.concatenate(x), *(state.agent.params for state in states))
    report = {
        "iterations": settings.iterations,
        "episodes": (settings.iterations + 1) * settings.episodes,
        "env_steps": (settings.iterations + 1) * settings.episodes * play.environment.steps,
        "states": (settings.iterations + 1) * settings.episodes * settings.records,
        "updates": settings.iterations * (1 if counterfactual.is_linear(settings) else settings.updates),
        "seconds": time.perf_counter() - compiled,
        "compile_seconds": compiled - began,
        "losses": rounded(losses),
        **explains(play, jax.tree.map(lambda x: x[0], states[0])),
    }
    if start is not None:
        params, report["validation"] = better(config, environment, sources, start, params)
    return Learned(jax.device_get(params), report)


def beginning(config: Config) -> Params | None:
    """The parameters that training begins with; None: random ones.

    Raises:
      SettingError: where the pretrained policy is another network.
    """
    settings = config.counterfactual
    if settings.start == "random":
        return None
    policy = pretrained.named(config.evaluation.pretrained)
    if policy.names != NAMES or policy.hidden != settings.hidden:
        fact = "is 'pretrained', which has other features or layers; take random"
        raise SettingError("counterfactual", "start", fact)
    return jax.tree.map(jnp.asarray, policy.params)


def better(
    config: Config, environment: Environment, sources: Sequence[Sources], start: Params, trained: Params
) -> tuple[Params, dict[str, Any]]:
    """Of the parameters that training began with and those it ended with, for each seed those that validate better.

    Args:
      config: settings.
      environment: that strategies are compared in.
      sources: of each lane.
      start: without a seed axis.
      trained: every leaf with a leading seed axis.

    Returns:
      Parameters as `trained`, and the mean accuracies of both on the validation rows, for each seed.
    """
    lanes = stretches(len(own.dataset) for own in sources)
    agent = make_gain_agent(config.counterfactual, NAMES)
    sequential = config.environment.batch_selection == "sequential"

    def value(params: Params, own: Sources) -> jax.Array:
        tasks = jnp.arange(config.train.validation_episodes) % len(own.dataset)
        utility = partial(Judge(NAMES, agent), params)
        return jnp.mean(mean_accuracies(environment, utility, own.validation, tasks, sequential))

    def both(params: Params, own: Sources) -> jax.Array:
        return jnp.stack([value(start, own), value(params, own)])

    run = jax.jit(over_lane(both, (0, OVER_SEEDS), len(sources[0].dataset)))
    some = lambda lane: jax.tree.map(lambda x: x[lane], trained)
    values = np.concatenate([run(some(lane), own) for own, lane in zip(sources, lanes, strict=True)])  # [seeds, 2]
    learned = jnp.asarray(values[:, 1] > values[:, 0])
    choose = lambda a, b: jnp.where(learned.reshape(-1, *[1] * b.ndim), a, b)
    return jax.tree.map(choose, trained, start), {"start": rounded(values[:, 0]), "trained": rounded(values[:, 1])}


def _compile(play: Play, start: Params | None, sources: Sources, keys: chex.PRNGKey) -> tuple[Any, Any, TrainState]:
    """The two functions over the seeds of a lane, compiled; and the shapes of their state."""
    over = lambda function, axes: over_lane(partial(function, play), axes, len(sources.dataset))
    init = jax.jit(over(counterfactual.init, (None, OVER_SEEDS, 0)))
    iterate = jax.jit(over(counterfactual.iterate, (0, OVER_SEEDS, None, 0)), donate_argnums=0)
    state: Any = jax.eval_shape(init, start, sources, keys[:, 0])
    lowered = init.lower(start, sources, keys[:, 0]), iterate.lower(state, sources, jnp.float32(0.0), keys[:, 0])
    return lowered[0].compile(), lowered[1].compile(), state


def explains(play: Play, state: TrainState) -> dict[str, dict[str, float]]:
    """How much of the gains in a seed's buffer its network explains; see `gain_network.explained_by_phase`."""
    held = state.buffer.experience
    count = held.gains.shape[1] if bool(state.buffer.is_full) else int(state.buffer.current_index)
    decisions = jax.tree.map(lambda x: x[0, :count].astype(jnp.float32), held._replace(following=None))
    values = jax.jit(jax.vmap(play.agent.values, (None, 0)))(state.agent.params, decisions.sight)
    labels = np.asarray(decisions.sight.summary)[:, NAMES.summaries.index("log_labels")]
    return explained_by_phase(np.asarray(values), np.asarray(decisions.gains), np.asarray(decisions.mask) > 0, labels)


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
