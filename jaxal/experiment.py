"""One experiment on the host: cut the tasks, train the policies, compare them with the other strategies.

A seed is one split, one trained policy and its own keys; all seeds run at once by `vmap`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.build import agent_for, environment_for
from jaxal.config import Config
from jaxal.data.dataset import Embedded
from jaxal.data.splits import Split
from jaxal.evaluate import Curves, evaluate_all
from jaxal.mdp.observation import state_size
from jaxal.policies.cem import make_cem
from jaxal.policies.replay import Transition, make_replay, memory_bytes
from jaxal.policies.strategies import all_strategies
from jaxal.policies.train import Progress, Snapshot, Trained, make_trainer, train
from jaxal.policies.typiclust import plan
from jaxal.tasks.banks import OVER_SEEDS, Recipe, Sources, join_images, pad_and_stack
from jaxal.tasks.task import for_each, standardise


class Policies(NamedTuple):
    """What was learned, every leaf with a leading seed axis."""

    ddqn: Any
    linear_cem: Any  # [seeds, F]


def training_memory(config: Config, sources: Sources) -> int:
    """Bytes that training holds for long: the task banks, and the replay buffers of all seeds."""
    settings, agent = config.environment, config.agent
    seeds, classes = len(sources.dataset), sources.bank.class_mask.shape[-1]
    shaped: Callable[..., Any] = lambda *shape, dtype=jnp.float32: jax.ShapeDtypeStruct(shape, dtype)
    state, features = state_size(settings.state_features, config.split.state, classes), len(settings.action_features)
    next_candidates = config.train.target_candidates
    transition = Transition(
        state=shaped(state),
        actions=shaped(settings.batch, features),
        reward=shaped(),
        discount=shaped(),
        next_state=shaped(state),
        next_actions=shaped(next_candidates, features),
        next_mask=shaped(next_candidates, dtype=jnp.bool_),
    )
    own = (sources.bank._replace(images=None), sources.validation._replace(images=None), sources.bank.images)
    banks = sum(x.nbytes for x in jax.tree.leaves(own))
    return banks + seeds * memory_bytes(agent.replay_capacity, transition)


class Training(NamedTuple):
    """What `train_policies` learned, and how."""

    policies: Policies
    trained: Trained
    env_steps: int
    updates: int
    episodes: int


def train_policies(
    config: Config,
    sources: Sources,
    *,
    progress: Progress = lambda done, total, note: None,
    resume: Callable[[Snapshot], Snapshot | None] = lambda like: None,
    save: Callable[[Snapshot], None] = lambda snapshot: None,
) -> Training:
    """Trains a double DQN, and the linear policy if it is among the strategies, for every seed."""
    environment = environment_for(config, sources.bank)
    agent = agent_for(config, sources.bank.class_mask.shape[-1])
    datasets = int(sources.dataset.max()) + 1
    trainer = make_trainer(config, environment, agent, make_replay(config.agent), datasets)
    keys = jax.random.split(jax.random.key(config.evaluation.first_seed), 2)
    trained = train(trainer, config, sources, keys[0], progress=progress, resume=resume, save=save)
    seeds = len(sources.dataset)
    if "linear_cem" in config.evaluation.strategies:
        search = jax.jit(for_each(make_cem(config, environment), (OVER_SEEDS, 0), 1 if config.finetunes else None))
        weights = jax.device_get(search(sources, jax.random.split(keys[1], seeds)))
    else:
        weights = np.zeros((seeds, len(config.environment.action_features)), np.float32)
    iterations = int(np.sum(~np.isnan(trained.history.returns[:, 0])))
    warm_start = max(config.train.warm_start_episodes, sources.dataset.shape[1])
    episodes = warm_start + iterations * config.train.episodes
    return Training(
        Policies(trained.params, weights),
        trained,
        env_steps=episodes * environment.steps,
        updates=iterations * config.train.updates,
        episodes=episodes,
    )


def policy_shapes(config: Config, seeds: int, classes: int) -> Policies:
    """Shapes and dtypes of what `train_policies` learns on data of so many classes."""
    agent, features = agent_for(config, classes), len(config.environment.action_features)
    params = jax.eval_shape(lambda keys: jax.vmap(agent.init)(keys).params, jax.random.split(jax.random.key(0), seeds))
    return Policies(params, jax.ShapeDtypeStruct((seeds, features), jnp.float32))


class Evaluation(NamedTuple):
    """Every strategy from the same initial sets."""

    curves: dict[str, Curves]
    kinds: dict[str, str]  # of each strategy, see `strategies.Strategy`
    labels: np.ndarray  # [T + 1] labels at each point of a curve


def compare_strategies(
    config: Config,
    target: Embedded,
    splits: Sequence[Split],
    policies: Policies | None,
    **hooks: Any,
) -> Evaluation:
    """Runs every strategy of the config on the pool and test rows of each seed's split of `target`.

    `hooks` are `evaluate_all`'s progress, known and save.
    """
    settings = config.environment
    tests = [[Recipe(target.latents, target.dataset.labels, parts.testing())] for parts in splits]
    banks = pad_and_stack(config, tests, join_images([target])[0] if config.finetunes else None)
    environment = environment_for(config, banks)
    agent = agent_for(config, len(target.dataset.classes))
    available = all_strategies(agent.values, settings.batch_selection == "sequential")
    strategies = {name: available[name] for name in config.evaluation.strategies}
    classes = len(target.dataset.classes)
    labels = max(settings.initial, classes) + settings.batch * np.arange(environment.steps + 1)
    seeds = config.evaluation.first_seed + np.arange(len(splits))
    params: dict[str, Any] = {
        "untrained_q": jax.vmap(lambda s: agent.init(jax.random.key(s)).params)(seeds),
        "balanced_oracle": banks.pool_labels[:, 0],
    }
    if policies is not None:
        params |= policies._asdict()
    if "typiclust" in strategies:
        params["typiclust"] = _typiclust_plans(config, target, splits, labels[:-1], banks.pool_labels.shape[-1])
    curves = evaluate_all(
        environment,
        strategies,
        {name: value for name, value in params.items() if name in strategies},
        banks,
        jax.random.key(config.evaluation.first_seed + 1),
        batch=settings.batch,
        starts=config.evaluation.starts,
        at_once=config.episodes_at_once,
        **hooks,
    )
    return Evaluation(curves, {name: strategy.kind for name, strategy in strategies.items()}, labels)


def _typiclust_plans(config, target, splits, labels, pool_size):
    plans = [
        plan(standardise(target.latents[parts.pool])[0], labels, config.environment.batch, pool_size, seed)
        for seed, parts in enumerate(splits)
    ]
    return jax.tree.map(lambda *x: jnp.stack(x), *plans)
