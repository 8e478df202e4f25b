"""Training of the acquisition policy: warm start, then iterations of episodes, replay and updates.

`make_trainer` gives functions for one seed; `train` runs all seeds at once by `vmap`, one jitted and donated function
an iteration, with a host loop around it for progress, early stopping and the parameters that validate best.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.config import Config
from jaxal.mdp.environment import Environment, State, holdout_logits
from jaxal.mdp.episode import Score, Step, rollout
from jaxal.mdp.metrics import accuracy
from jaxal.mdp.observation import Observation
from jaxal.policies.ddqn import Agent, AgentState
from jaxal.policies.replay import Replay, Transition
from jaxal.policies.strategies import random
from jaxal.tasks.banks import OVER_SEEDS, Sources
from jaxal.tasks.task import Task, for_each, select

RATES = "--agent.learning-rate, or the classifier's, --probe.learning-rate or --finetune.learning-rate"
Progress = Callable[[int, int, str], None]
"""called with (steps done, steps in all, a note)"""


class Scaling(NamedTuple):
    """How the rewards of each data set become comparable: (reward - baseline) / deviation."""

    baseline: jax.Array  # [datasets, T]
    deviation: jax.Array  # [datasets]


class TrainState(NamedTuple):
    """Everything that training changes."""

    agent: AgentState
    buffer: Any
    scaling: Scaling
    best_params: Any
    best_value: jax.Array  # [] validation score of `best_params`


def as_transition(step: Step, steps: int, target_candidates: int) -> Transition:
    """A step of an episode of `steps` steps as the replay buffer stores it."""
    return Transition(
        state=step.before.state,
        actions=step.actions,
        reward=step.reward,
        discount=jnp.where(step.after.time >= steps, 0.0, 1.0),
        next_state=step.after.state,
        next_actions=step.after.actions[:target_candidates],
        next_mask=step.after.mask[:target_candidates],
    )


def epsilon_greedy(score: Score, epsilon: jax.Array) -> Score:
    """`score`, but random with probability `epsilon` (one coin a step)."""

    def explore(observation: Observation, key: chex.PRNGKey) -> jax.Array:
        coin_key, noise_key, score_key = jax.random.split(key, 3)
        noise = jax.random.uniform(noise_key, observation.mask.shape)
        return jnp.where(jax.random.bernoulli(coin_key, epsilon), noise, score(observation, score_key))

    return explore


class Trainer(NamedTuple):
    """Pure functions for one seed."""

    init: Callable[[Sources, chex.PRNGKey], TrainState]
    """(sources, key): a fresh agent, and a buffer filled by random episodes"""
    iterate: Callable[[TrainState, Sources, jax.Array, chex.PRNGKey], tuple[TrainState, dict[str, jax.Array]]]
    """(state, sources, epsilon, key): episodes, then updates"""
    validate: Callable[[TrainState, Sources], tuple[TrainState, jax.Array]]
    """(state, sources): score the present parameters and keep them if they are the best so far"""


def make_trainer(config: Config, environment: Environment, agent: Agent, replay: Replay, datasets: int) -> Trainer:
    """The trainer of one seed.

    Args:
      config: settings.
      environment: made for the sources' shapes.
      agent: the double deep Q-network.
      replay: the buffer.
      datasets: number of data sets among the sources.
    """
    settings, batch, steps = config.train, config.environment.batch, environment.steps
    sequential = jnp.asarray(config.environment.batch_selection == "sequential")

    def greedy(params) -> Score:
        return lambda o, key: agent.values(params, o.state, o.actions)

    def play(bank: Task, score: Score, tasks: jax.Array, key: chex.PRNGKey):
        """One episode on each of `tasks` [E]: transitions [E, T, ...]."""

        def episode(index, key):
            task = select(bank, index)
            start_key, run_key = jax.random.split(key)
            return rollout(
                environment,
                score,
                task,
                environment.initial_set(task, start_key),
                run_key,
                batch=batch,
                sequential=sequential,
                record_first=lambda state: None,
                record=lambda step: as_transition(step, steps, settings.target_candidates),
                candidates=settings.candidates,
            )[1]

        return for_each(episode, (0, 0), config.episodes_at_once)(tasks, jax.random.split(key, len(tasks)))

    def store(buffer, transitions, tasks, scaling, sources):
        """Adds transitions [E, T, ...] with scaled rewards."""
        which = sources.dataset[tasks]
        rewards = (transitions.reward - scaling.baseline[which]) / scaling.deviation[which][:, None]
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), transitions._replace(reward=rewards))
        return replay.add(buffer, flat)

    def init(sources: Sources, key: chex.PRNGKey) -> TrainState:
        agent_key, play_key = jax.random.split(key)
        state = agent.init(agent_key)
        count = len(sources.dataset)
        tasks = jnp.arange(max(settings.warm_start_episodes, count)) % count
        transitions = play(sources.bank, lambda o, k: random(None, o, k), tasks, play_key)
        scaling = _fit_scaling(transitions.reward, sources.dataset[tasks])
        buffer = replay.init(jax.tree.map(lambda x: x[0, 0], transitions))
        buffer = store(buffer, transitions, tasks, scaling, sources)
        return TrainState(state, buffer, scaling, state.params, jnp.asarray(-jnp.inf))

    def _fit_scaling(rewards: jax.Array, which: jax.Array) -> Scaling:
        """Per-data-set baseline and deviation of rewards [E, T] of data sets `which` [E]."""
        member = jax.nn.one_hot(which, datasets, axis=0)  # [datasets, E]
        mean = member @ rewards / jnp.maximum(jnp.sum(member, 1, keepdims=True), 1)
        baseline = jax.vmap(_smooth)(mean) if settings.time_baseline else jnp.zeros_like(mean)
        if not settings.scale_reward:
            return Scaling(baseline, jnp.ones(datasets))
        left = rewards - baseline[which]
        count = jnp.maximum(jnp.sum(member, 1) * steps, 1)
        centre = jnp.sum(member @ left, 1) / count
        variance = jnp.sum(member @ (left - centre[which][:, None]) ** 2, 1) / count
        return Scaling(baseline, jnp.maximum(jnp.sqrt(variance), 1e-6))

    def iterate(state: TrainState, sources: Sources, epsilon: jax.Array, key: chex.PRNGKey):
        task_key, play_key, update_key = jax.random.split(key, 3)
        tasks = jax.random.randint(task_key, (settings.episodes,), 0, len(sources.dataset))
        score = epsilon_greedy(greedy(state.agent.params), epsilon)
        transitions = play(sources.bank, score, tasks, play_key)
        buffer = store(state.buffer, transitions, tasks, state.scaling, sources)

        def update(carry, key):
            learner, buffer = carry
            sample, places = replay.sample(buffer, key)
            learner, errors = agent.update(learner, sample)
            return (learner, replay.reprioritise(buffer, places, errors)), jnp.mean(errors**2)

        keys = jax.random.split(update_key, settings.updates)
        (learner, buffer), losses = jax.lax.scan(update, (state.agent, buffer), keys)
        report = {"return": jnp.mean(jnp.sum(transitions.reward, 1)), "loss": jnp.mean(losses)}
        return state._replace(agent=learner, buffer=buffer), report

    def validate(state: TrainState, sources: Sources) -> tuple[TrainState, jax.Array]:
        tasks = jnp.arange(settings.validation_episodes) % len(sources.dataset)
        params = state.agent.target_params  # a running mean of the online ones: steadier
        value = jnp.mean(score_episodes(greedy(params), sources.validation, tasks))
        better = value > state.best_value
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), params, state.best_params)
        return state._replace(best_params=best, best_value=jnp.maximum(value, state.best_value)), value

    def score_episodes(score: Score, bank: Task, tasks: jax.Array) -> jax.Array:
        """Mean hold-out accuracy over each of the greedy episodes on `tasks` [E], from fixed starts: [E]."""

        def holdout_accuracy(task: Task, state: State):
            return accuracy(holdout_logits(task, state.fitted), task.holdout_labels)

        def episode(index, key):
            task = select(bank, index)
            start_key, run_key = jax.random.split(key)
            initial = environment.initial_set(task, start_key)
            first, rest = rollout(
                environment,
                score,
                task,
                initial,
                run_key,
                batch=batch,
                sequential=sequential,
                record_first=lambda state: holdout_accuracy(task, state),
                record=lambda step: holdout_accuracy(task, step.state),
            )
            return jnp.mean(jnp.append(rest, first))

        keys = jax.random.split(jax.random.key(0), len(tasks))
        return for_each(episode, (0, 0), config.episodes_at_once)(tasks, keys)

    return Trainer(init, iterate, validate)


def _smooth(curve: jax.Array) -> jax.Array:
    """`curve` [T] averaged over windows of five (fewer at the ends, and in shorter curves)."""
    window = jnp.ones(min(5, len(curve)))
    return jnp.convolve(curve, window, "same") / jnp.convolve(jnp.ones_like(curve), window, "same")


def stabilised(returns: np.ndarray, patience: int, tolerance: float) -> bool:
    """Whether the mean return [iterations, seeds] has stopped growing, in every seed.

    It has when the last `patience` iterations are on average no more than `tolerance` above those before them.
    """
    if not patience or len(returns) < 2 * patience:
        return False
    last, before = returns[-patience:].mean(0), returns[-2 * patience : -patience].mean(0)
    return bool(np.all(last <= before + tolerance))


class History(NamedTuple):
    """What training reported so far; NaN in rows that are still to come, or were not measured."""

    iteration: np.ndarray  # [] int32 iterations done
    returns: np.ndarray  # [I, seeds] mean return of each iteration
    validation: np.ndarray  # [I + 1, seeds] mean accuracy on the validation rows before each iteration and at the end


class Snapshot(NamedTuple):
    """All that is needed to go on from where training stood."""

    state: TrainState  # with a leading seed axis
    history: History


class Trained(NamedTuple):
    """The outcome of training, with a leading seed axis."""

    params: Any
    history: History
    seconds: float  # without compilation
    compile_seconds: float


def train(
    trainer: Trainer,
    config: Config,
    sources: Sources,
    key: chex.PRNGKey,
    *,
    progress: Progress = lambda done, total, note: None,
    resume: Callable[[Snapshot], Snapshot | None] = lambda like: None,
    save: Callable[[Snapshot], None] = lambda snapshot: None,
) -> Trained:
    """Trains all seeds at once.

    Args:
      trainer: functions for one seed.
      config: settings.
      sources: with a leading seed axis on every array.
      key: consumed here.
      progress: called with (iterations done, iterations at the most, a note) after each.
      resume: given the shapes of a snapshot, one to go on from, or None to begin.
      save: called with a snapshot after every iteration.

    Raises:
      ValueError: when the loss is no longer a number.
    """
    settings, seeds = config.train, len(sources.dataset)
    epsilons = np.linspace(settings.epsilon_start, settings.epsilon_end, settings.iterations, dtype=np.float32)
    keys = jax.vmap(lambda s: jax.random.split(jax.random.fold_in(key, s), settings.iterations + 1))(jnp.arange(seeds))
    began = time.perf_counter()
    (init, iterate, validate), shapes = _compile(trainer, sources, keys, seeds_at_once=1 if config.finetunes else None)
    compiled = time.perf_counter()
    history = History(
        iteration=np.zeros((), np.int32),
        returns=np.full((settings.iterations, seeds), np.nan, np.float32),
        validation=np.full((settings.iterations + 1, seeds), np.nan, np.float32),
    )
    found = resume(Snapshot(shapes, history))
    if found is None:
        state, score = validate(init(sources, keys[:, 0]), sources)
        history.validation[0] = score
    else:
        state, history = found.state, jax.tree.map(np.array, found.history)
    for i in range(int(history.iteration), settings.iterations):
        state, report = iterate(state, sources, epsilons[i], keys[:, i + 1])
        if not np.isfinite(report["loss"]).all():
            raise ValueError(f"the loss is no number after iteration {i + 1}; take a smaller learning rate: {RATES}")
        history.returns[i] = report["return"]
        done = i + 1
        stable = stabilised(history.returns[:done], settings.patience, settings.tolerance)
        if stable or done == settings.iterations or done % settings.validation_every == 0:
            state, score = validate(state, sources)
            history.validation[done] = score
        history = history._replace(iteration=np.array(settings.iterations if stable else done, np.int32))
        save(Snapshot(state, history))
        progress(done, settings.iterations, f"return {history.returns[i].mean():.3f}")
        if stable:
            break
    seconds = time.perf_counter() - compiled
    return Trained(jax.device_get(state.best_params), history, seconds, compiled - began)


def _compile(trainer: Trainer, sources: Sources, keys: chex.PRNGKey, seeds_at_once: int | None):
    """The three functions over all seeds, compiled at the same time; and the shapes of their state."""
    init = jax.jit(for_each(trainer.init, (OVER_SEEDS, 0), seeds_at_once))
    iterate = jax.jit(for_each(trainer.iterate, (0, OVER_SEEDS, None, 0), seeds_at_once), donate_argnums=0)
    validate = jax.jit(for_each(trainer.validate, (0, OVER_SEEDS), seeds_at_once), donate_argnums=0)
    state = jax.eval_shape(init, sources, keys[:, 0])
    lowered = (
        init.lower(sources, keys[:, 0]),
        iterate.lower(state, sources, jnp.zeros((), jnp.float32), keys[:, 0]),
        validate.lower(state, sources),
    )
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(lambda x: x.compile(), lowered)), state
