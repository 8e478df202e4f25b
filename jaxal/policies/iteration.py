"""What training does on the device, for one seed: a warm start, iterations of episodes and updates, validation.

Pure functions of a `Setup`, which is static, and a `TrainState`, which is all that changes. `train` maps them over
seeds.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxal.config import TrainConfig
from jaxal.mdp.environment import Environment, State, holdout_logits
from jaxal.mdp.episode import Step, Utility, rollout
from jaxal.mdp.metrics import accuracy
from jaxal.mdp.observation import Observation
from jaxal.policies.ddqn import Agent, AgentState
from jaxal.policies.hand_written import random
from jaxal.policies.replay import Replay, Transition
from jaxal.tasks.banks import Sources
from jaxal.tasks.products import product
from jaxal.tasks.task import Task, for_each, select


class Setup(NamedTuple):
    """What stays the same throughout training."""

    config: TrainConfig
    environment: Environment  # made for the sources' shapes
    agent: Agent
    replay: Replay
    datasets: int  # among the sources
    sequential: bool  # whether several labels a step are picked one after another


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


def init(setup: Setup, sources: Sources, key: chex.PRNGKey) -> TrainState:
    """A fresh agent, and a buffer filled by random episodes. Consumes the key."""
    agent_key, play_key = jax.random.split(key)
    agent = setup.agent.init(agent_key)
    count = len(sources.dataset)
    tasks = jnp.arange(max(setup.config.warm_start_episodes, count)) % count
    transitions = play(setup, sources.bank, random, tasks, play_key)
    scaling = fit_scaling(setup, transitions.reward, sources.dataset[tasks])
    buffer = setup.replay.init(jax.tree.map(lambda x: x[0, 0], transitions))
    buffer = store(setup, buffer, transitions, sources.dataset[tasks], scaling)
    return TrainState(agent, buffer, scaling, agent.params, jnp.asarray(-jnp.inf))


def iterate(
    setup: Setup, state: TrainState, sources: Sources, epsilon: jax.Array, active: jax.Array, key: chex.PRNGKey
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Episodes on random tasks, then updates; reports the mean return and loss. Consumes the key.

    Where `active` [] bool is False the agent stays as it is, as it must once its seed has stopped while others go on.
    What is played is then stored all the same, since nobody learns from it any more.
    """
    task_key, play_key, update_key = jax.random.split(key, 3)
    tasks = jax.random.randint(task_key, (setup.config.episodes,), 0, len(sources.dataset))
    utility = epsilon_greedy(greedy(setup, state.agent.params), epsilon)
    transitions = play(setup, sources.bank, utility, tasks, play_key)
    buffer = store(setup, state.buffer, transitions, sources.dataset[tasks], state.scaling)

    def update(carry: tuple[AgentState, Any], key: chex.PRNGKey) -> tuple[tuple[AgentState, Any], jax.Array]:
        agent, buffer = carry
        minibatch, places = setup.replay.sample(buffer, key)
        agent, errors = setup.agent.update(agent, minibatch)
        return (agent, setup.replay.reprioritise(buffer, places, errors)), jnp.mean(errors**2)

    keys = jax.random.split(update_key, setup.config.updates)
    (agent, buffer), losses = jax.lax.scan(update, (state.agent, buffer), keys)
    agent = jax.tree.map(lambda new, old: jnp.where(active, new, old), agent, state.agent)
    report = {"return": jnp.mean(jnp.sum(transitions.reward, 1)), "loss": jnp.mean(losses)}
    return state._replace(agent=agent, buffer=buffer), report


def validate(setup: Setup, state: TrainState, sources: Sources, due: jax.Array) -> tuple[TrainState, jax.Array]:
    """Scores the present parameters on validation rows; keeps them if that is `due` [] bool and they are the best."""
    tasks = jnp.arange(setup.config.validation_episodes) % len(sources.dataset)
    params = state.agent.target_params  # a running mean of the online ones: steadier
    episodes = mean_accuracies(setup.environment, greedy(setup, params), sources.validation, tasks, setup.sequential)
    value = jnp.mean(episodes)
    better = due & (value > state.best_value)
    keep = lambda new, old: jnp.where(better, new, old)
    best = jax.tree.map(keep, params, state.best_params)
    return state._replace(best_params=best, best_value=keep(value, state.best_value)), value


def greedy(setup: Setup, params: Any) -> Utility:
    """The Q-values of the agent."""
    return lambda observation, key: setup.agent.values(params, observation.state_vector, observation.features)


def epsilon_greedy(utility: Utility, epsilon: jax.Array) -> Utility:
    """`utility`, but random with probability `epsilon` (one coin a step)."""

    def explore(observation: Observation, key: chex.PRNGKey) -> jax.Array:
        coin_key, noise_key, utility_key = jax.random.split(key, 3)
        noise = jax.random.uniform(noise_key, observation.mask.shape)
        return jnp.where(jax.random.bernoulli(coin_key, epsilon), noise, utility(observation, utility_key))

    return explore


def play(setup: Setup, bank: Task, utility: Utility, tasks: jax.Array, key: chex.PRNGKey) -> Transition:
    """One episode on each of `tasks` [E]: transitions [E, T, ...]. Consumes the key."""

    def episode(index: jax.Array, key: chex.PRNGKey) -> Transition:
        task = select(bank, index)
        start_key, run_key = jax.random.split(key)
        return rollout(
            setup.environment,
            utility,
            task,
            setup.environment.initial_set(task, start_key),
            run_key,
            sequential=jnp.asarray(setup.sequential),
            record_first=lambda state: None,
            record=lambda step: as_transition(step, setup.environment.steps, setup.config.target_candidates),
            candidates=setup.config.candidates,
        )[1]

    keys = jax.random.split(key, len(tasks))
    return for_each(episode, (0, 0), setup.environment.episodes_at_once)(tasks, keys)


def as_transition(step: Step, steps: int, target_candidates: int) -> Transition:
    """A step of an episode of `steps` steps as the replay buffer stores it."""
    return Transition(
        state_vector=step.before.state_vector,
        features=step.features,
        reward=step.reward,
        discount=jnp.where(step.after.time >= steps, 0.0, 1.0),
        next_state_vector=step.after.state_vector,
        next_features=step.after.features[:target_candidates],
        next_mask=step.after.mask[:target_candidates],
    )


def store(setup: Setup, buffer: Any, transitions: Transition, dataset: jax.Array, scaling: Scaling) -> Any:
    """Adds transitions [E, T, ...] from data sets [E], with scaled rewards."""
    rewards = (transitions.reward - scaling.baseline[dataset]) / scaling.deviation[dataset][:, None]
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), transitions._replace(reward=rewards))
    return setup.replay.add(buffer, flat)


def fit_scaling(setup: Setup, rewards: jax.Array, dataset: jax.Array) -> Scaling:
    """Baseline and deviation of the rewards [E, T] of each data set; `dataset` [E] says whose they are."""
    member = jax.nn.one_hot(dataset, setup.datasets, axis=0)  # [datasets, E]
    mean = product(member, rewards) / jnp.maximum(jnp.sum(member, 1, keepdims=True), 1)
    baseline = jax.vmap(smooth)(mean) if setup.config.time_baseline else jnp.zeros_like(mean)
    if not setup.config.scale_reward:
        return Scaling(baseline, jnp.ones(setup.datasets))
    left = rewards - baseline[dataset]
    count = jnp.maximum(jnp.sum(member, 1) * setup.environment.steps, 1)
    centre = jnp.sum(product(member, left), 1) / count
    variance = jnp.sum(product(member, (left - centre[dataset][:, None]) ** 2), 1) / count
    return Scaling(baseline, jnp.maximum(jnp.sqrt(variance), 1e-6))


def smooth(curve: jax.Array) -> jax.Array:
    """`curve` [T] averaged over windows of five (fewer at the ends, and in shorter curves)."""
    window = jnp.ones(min(5, len(curve)))
    return jnp.convolve(curve, window, "same") / jnp.convolve(jnp.ones_like(curve), window, "same")


def mean_accuracies(
    environment: Environment, utility: Utility, bank: Task, tasks: jax.Array, sequential: bool
) -> jax.Array:
    """Mean hold-out accuracy over each of the episodes on `tasks` [E], from fixed starts: [E]."""

    def holdout_accuracy(task: Task, state: State) -> jax.Array:
        return accuracy(holdout_logits(task, state.fitted), task.holdout_labels)

    def episode(index: jax.Array, key: chex.PRNGKey) -> jax.Array:
        task = select(bank, index)
        start_key, run_key = jax.random.split(key)
        first, rest = rollout(
            environment,
            utility,
            task,
            environment.initial_set(task, start_key),
            run_key,
            sequential=jnp.asarray(sequential),
            record_first=lambda state: holdout_accuracy(task, state),
            record=lambda step: holdout_accuracy(task, step.state),
        )
        return jnp.mean(jnp.append(rest, first))

    keys = jax.random.split(jax.random.key(0), len(tasks))
    return for_each(episode, (0, 0), environment.episodes_at_once)(tasks, keys)
