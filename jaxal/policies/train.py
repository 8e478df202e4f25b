"""Training of the double DQN for all seeds.

One jitted, donated function an iteration, mapped over the seeds of a lane, with a host loop around it for progress,
early stopping, checkpoints and the parameters that validate best.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.config import Config
from jaxal.mdp.environment import Environment
from jaxal.mdp.observation import state_size
from jaxal.policies import iteration
from jaxal.policies.ddqn import agent_for
from jaxal.policies.iteration import Setup, TrainState
from jaxal.policies.learner import NO_HOOKS, Hooks, Learned
from jaxal.policies.replay import Transition, make_replay, memory_bytes
from jaxal.report.statistics import rounded
from jaxal.tasks.banks import OVER_SEEDS, Sources
from jaxal.tasks.task import over_lane, stretches

DIVERGED = (
    "take a smaller learning rate: --agent.learning-rate, or the classifier's, --probe.learning-rate or "
    "--finetune.learning-rate"
)


class History(NamedTuple):
    """What training reported so far; NaN in rows that are still to come, or were not measured."""

    iteration: np.ndarray  # [] int32 iterations done
    active: np.ndarray  # [seeds] bool, False once a seed has stopped
    returns: np.ndarray  # [I, seeds] mean return of each iteration
    validation: np.ndarray  # [I + 1, seeds] mean accuracy on the validation rows before each iteration and at the end


class Snapshot(NamedTuple):
    """All that is needed to go on from where training stood."""

    states: list[TrainState]  # of each lane, with a leading seed axis
    history: History


class Trained(NamedTuple):
    """The outcome of training, with a leading seed axis."""

    params: Any
    history: History
    seconds: float  # without compilation
    compile_seconds: float


def train(setup: Setup, sources: Sequence[Sources], keys: chex.PRNGKey, hooks: Hooks = NO_HOOKS) -> Trained:
    """Trains every seed. Each stops by itself, so that what it learns does not depend on the others.

    Args:
      setup: what stays the same throughout.
      sources: of each lane of seeds, see `task.lanes`; with a leading seed axis on every array.
      keys: [seeds], consumed here.
      hooks: progress, and what to do with snapshots.

    Raises:
      ValueError: when the loss is no longer a finite number.
    """
    config = setup.config
    lanes = stretches(len(own.dataset) for own in sources)
    seeds = lanes[-1].stop
    epsilons = np.linspace(config.epsilon_start, config.epsilon_end, config.iterations, dtype=np.float32)
    keys = jax.vmap(lambda key: jax.random.split(key, config.iterations + 1))(keys)
    began = time.perf_counter()
    (init, iterate, validate), shapes = _compile(setup, sources[0], keys[lanes[0]])
    compiled = time.perf_counter()
    history = History(
        iteration=np.zeros((), np.int32),
        active=np.ones(seeds, bool),
        returns=np.full((config.iterations, seeds), np.nan, np.float32),
        validation=np.full((config.iterations + 1, seeds), np.nan, np.float32),
    )

    def validated(done: int, due: np.ndarray) -> None:
        """Scores the seeds that are `due`, after so many iterations."""
        for k, lane in enumerate(lanes):
            if due[lane].any():
                states[k], score = validate(states[k], sources[k], due[lane])
                history.validation[done, lane] = np.where(due[lane], score, np.nan)

    found = hooks.resume(Snapshot([shapes] * len(lanes), history))
    if found is None:
        states = [init(own, keys[lane, 0]) for own, lane in zip(sources, lanes, strict=True)]
        validated(0, history.active)
    else:
        states, history = list(found.states), jax.tree.map(np.array, found.history)
    while history.active.any():
        i, active = int(history.iteration), history.active
        for k, lane in enumerate(lanes):
            if active[lane].any():
                states[k], report = iterate(states[k], sources[k], epsilons[i], active[lane], keys[lane, i + 1])
                if not np.isfinite(report["loss"][active[lane]]).all():
                    raise ValueError(f"the loss is not finite after iteration {i + 1}; {DIVERGED}")
                history.returns[i, lane] = np.where(active[lane], report["return"], np.nan)
        done = i + 1
        stable = stabilised(history.returns[:done], config.patience, config.tolerance)
        ending = active & (stable | (done == config.iterations))
        validated(done, ending | (active & (done % config.validation_every == 0)))
        history = history._replace(iteration=np.array(done, np.int32), active=active & ~ending)
        hooks.save(done, Snapshot(states, history))
        hooks.progress(done, config.iterations, f"return {np.nanmean(history.returns[i]):.3f}")
    seconds = time.perf_counter() - compiled
    best = jax.device_get([state.best_params for state in states])
    return Trained(jax.tree.map(lambda *x: np.concatenate(x), *best), history, seconds, compiled - began)


def stabilised(returns: np.ndarray, patience: int, tolerance: float) -> np.ndarray:
    """In which seeds the mean return [iterations, seeds] has stopped growing: [seeds] bool.

    It has when the last `patience` iterations are on average no more than `tolerance` above those before them.
    """
    if not patience or len(returns) < 2 * patience:
        return np.zeros(returns.shape[1], bool)
    last, before = returns[-patience:].mean(0), returns[-2 * patience : -patience].mean(0)
    return last <= before + tolerance


def _compile(setup: Setup, sources: Sources, keys: chex.PRNGKey) -> tuple[tuple[Any, ...], TrainState]:
    """The three functions over the seeds of a lane, compiled at the same time; and the shapes of their state."""
    seeds = len(sources.dataset)
    over = lambda function, axes: over_lane(partial(function, setup), axes, seeds)
    init = jax.jit(over(iteration.init, (OVER_SEEDS, 0)))
    iterate = jax.jit(over(iteration.iterate, (0, OVER_SEEDS, None, 0, 0)), donate_argnums=0)
    validate = jax.jit(over(iteration.validate, (0, OVER_SEEDS, 0)), donate_argnums=0)
    state: Any = jax.eval_shape(init, sources, keys[:, 0])
    active = jnp.ones(seeds, bool)
    lowered = (
        init.lower(sources, keys[:, 0]),
        iterate.lower(state, sources, jnp.zeros((), jnp.float32), active, keys[:, 0]),
        validate.lower(state, sources, active),
    )
    with ThreadPoolExecutor() as pool:  # XLA releases the interpreter lock
        return tuple(pool.map(lambda x: x.compile(), lowered)), state


def learn(
    config: Config, environment: Environment, sources: Sequence[Sources], keys: chex.PRNGKey, hooks: Hooks
) -> Learned:
    """A double DQN for every seed. See `Learner`."""
    agent = agent_for(config, sources[0].bank.class_mask.shape[-1])
    sequential = config.environment.batch_selection == "sequential"
    datasets = int(sources[0].dataset.max()) + 1
    setup = Setup(config.train, environment, agent, make_replay(config.agent), datasets, sequential)
    trained = train(setup, sources, keys, hooks)
    history = trained.history
    iterations = int(history.iteration)
    validated = ~np.isnan(history.validation).all(1)
    episodes = max(config.train.warm_start_episodes, sources[0].dataset.shape[1]) + iterations * config.train.episodes
    report = {
        "iterations": iterations,
        "iterations_by_seed": np.sum(~np.isnan(history.returns), 0).tolist(),
        "episodes": episodes,
        "env_steps": episodes * environment.steps,
        "updates": iterations * config.train.updates,
        "seconds": trained.seconds,
        "compile_seconds": trained.compile_seconds,
        "returns": rounded(history.returns[:iterations]),
        "validated_at": np.flatnonzero(validated).tolist(),
        "validation_accuracy": rounded(history.validation[validated]),
    }
    return Learned(trained.params, report)


def shapes(config: Config, classes: int, seeds: int) -> Any:
    """Of a double DQN's parameters. See `Learner`."""
    agent = agent_for(config, classes)
    return jax.eval_shape(lambda keys: jax.vmap(agent.init)(keys).params, jax.random.split(jax.random.key(0), seeds))


def memory(config: Config, classes: int) -> int:
    """Of the replay buffer. See `Learner`."""
    settings, features = config.environment, len(config.environment.action_features)
    shaped: Any = lambda *shape, dtype=jnp.float32: jax.ShapeDtypeStruct(shape, dtype)
    state, candidates = state_size(settings.state_features, config.split.state, classes), config.train.target_candidates
    transition = Transition(
        state_vector=shaped(state),
        features=shaped(settings.batch, features),
        reward=shaped(),
        discount=shaped(),
        next_state_vector=shaped(state),
        next_features=shaped(candidates, features),
        next_mask=shaped(candidates, dtype=jnp.bool_),
    )
    return memory_bytes(config.agent.replay_capacity, transition)
