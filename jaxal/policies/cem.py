"""A linear policy found by the cross-entropy method (Rubinstein 1999; Szita and Lorincz 2006): the learned control.

It sees the same action features as the Q-network, plays as many episodes as it did, and ranks candidates by
`features @ weights`. What a double DQN achieves beyond it, it owes to more than its features.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.config import Config
from jaxal.mdp.environment import Environment
from jaxal.mdp.episode import rollout
from jaxal.mdp.observation import Observation
from jaxal.policies.learner import Hooks, Learned
from jaxal.tasks.banks import OVER_SEEDS, Sources
from jaxal.tasks.products import product
from jaxal.tasks.task import for_each, over_lane, select, stretches

POPULATION = 32  # weight vectors a generation, one episode each
ELITE = 8  # the best, to which the next generation is fitted
FLOOR = 0.05  # least deviation of the search, so that it does not settle on noise


def linear(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """A linear function of the action features, `params` [F]: [K]."""
    del key
    return product(observation.features, params)


class Search(NamedTuple):
    """Where the search stands."""

    mean: jax.Array  # [F]
    deviation: jax.Array  # [F]


def make_cem(config: Config, environment: Environment) -> Callable[[Sources, chex.PRNGKey], jax.Array]:
    """A pure function of one seed: (sources, key) -> weights [F].

    All vectors of a generation start from the same initial set of the same task, so that they differ in nothing but
    their weights.
    """
    settings = config.train
    episodes = settings.warm_start_episodes + settings.iterations * settings.episodes
    generations = max(1, episodes // POPULATION)
    sequential = jnp.asarray(config.environment.batch_selection == "sequential")

    def mean_quality(weights: jax.Array, sources: Sources, index: jax.Array, key: chex.PRNGKey) -> jax.Array:
        """Of the classifier on the reward rows, over one episode."""
        task = select(sources.bank, index)
        start_key, run_key = jax.random.split(key)
        qualities = rollout(
            environment,
            lambda observation, key: linear(weights, observation, key),
            task,
            environment.initial_set(task, start_key),
            run_key,
            sequential=sequential,
            record_first=lambda state: None,
            record=lambda step: step.state.value,
            candidates=settings.candidates,
        )[1]
        return jnp.mean(qualities)

    def search(sources: Sources, key: chex.PRNGKey) -> jax.Array:
        def generation(at: Search, key: chex.PRNGKey) -> tuple[Search, None]:
            task_key, draw_key, play_key = jax.random.split(key, 3)
            index = jax.random.randint(task_key, (), 0, len(sources.dataset))
            shape = (POPULATION, len(config.environment.action_features))
            weights = at.mean + at.deviation * jax.random.normal(draw_key, shape)
            play = for_each(mean_quality, (0, None, None, None), environment.episodes_at_once)
            values = play(weights, sources, index, play_key)
            elite = weights[jax.lax.top_k(values, ELITE)[1]]
            return Search(jnp.mean(elite, 0), jnp.maximum(jnp.std(elite, 0), FLOOR)), None

        size = len(config.environment.action_features)
        begin = Search(jnp.zeros(size), jnp.ones(size))
        end, _ = jax.lax.scan(generation, begin, jax.random.split(key, generations))
        return end.mean

    return search


def learn(
    config: Config, environment: Environment, sources: Sequence[Sources], keys: chex.PRNGKey, hooks: Hooks
) -> Learned:
    """A linear policy for every seed. See `Learner`."""
    del hooks  # it takes seconds
    sizes = [len(own.dataset) for own in sources]
    search = jax.jit(over_lane(make_cem(config, environment), (OVER_SEEDS, 0), sizes[0]))
    found = [search(own, keys[lane]) for own, lane in zip(sources, stretches(sizes), strict=True)]
    return Learned(np.concatenate(jax.device_get(found)), {})


def shapes(config: Config, classes: int, seeds: int) -> jax.ShapeDtypeStruct:
    """Of its weights. See `Learner`."""
    return jax.ShapeDtypeStruct((seeds, len(config.environment.action_features)), jnp.float32)
