"""An episode: choose, label, refit, and again, as one `lax.scan`."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.classifiers.classifier import Labelled
from jaxal.mdp.environment import Environment, State
from jaxal.mdp.observation import Observation
from jaxal.tasks.task import Task


class Utility(Protocol):
    """What ranks candidates."""

    def __call__(self, observation: Observation, key: chex.PRNGKey, /) -> jax.Array:
        """How useful the label of each candidate would be: [K]; the caller masks those that may not be chosen."""
        ...


class Step(NamedTuple):
    """One step, for those who record."""

    before: Observation
    features: jax.Array  # [N, F] of the chosen candidates, as seen when each was chosen
    picks: jax.Array  # [N] int32 pool rows
    reward: jax.Array  # []
    after: Observation
    state: State  # after the step


class Chosen(NamedTuple):
    """The candidates to be labelled, the most useful first, each as it was seen when it was chosen."""

    picks: jax.Array  # [N] int32 pool rows, all different
    features: jax.Array  # [N, F]
    utilities: jax.Array  # [N]


def choose(
    environment: Environment,
    utility: Utility,
    task: Task,
    state: State,
    candidates: jax.Array,
    observation: Observation,
    key: chex.PRNGKey,
    sequential: jax.Array,
    count: int,
) -> Chosen:
    """The candidates to be labelled.

    Args:
      candidates: [K] int32 pool rows; -1: none.
      observation: of the candidates in this state.
      key: consumed by the utility.
      sequential: [] bool; True ranks anew after each pick, with what needs no label and a key of its own; False takes
        the highest at once.
      count: N.
    """

    def best(observation: Observation, taken: jax.Array, key: chex.PRNGKey) -> tuple[jax.Array, Chosen]:
        utilities = utility(observation, key)
        chex.assert_equal_shape([utilities, observation.mask], custom_message="one utility for each candidate")
        place = jnp.argmax(jnp.where(observation.mask & ~taken, utilities, -jnp.inf))
        return place, Chosen(candidates[place], observation.features[place], utilities[place])

    if count == 1:
        return jax.tree.map(lambda x: x[None], best(observation, jnp.zeros(len(candidates), bool), key)[1])

    def pick(carry: tuple[State, jax.Array], own_key: chex.PRNGKey) -> tuple[tuple[State, jax.Array], Chosen]:
        supposed, taken = carry
        seen = environment.observe(task, supposed, candidates)
        place, chosen = best(seen, taken, own_key)
        pending = environment.mark_pending(task, supposed, Labelled(candidates[place][None], jnp.ones(1, bool)))
        keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(sequential, a, b), new, old)
        supposed = supposed._replace(
            pending=keep(pending.pending, supposed.pending),
            unlabelled=keep(pending.unlabelled, supposed.unlabelled),
            class_counts=keep(pending.class_counts, supposed.class_counts),
            fitted=supposed.fitted._replace(geometry=keep(pending.fitted.geometry, supposed.fitted.geometry)),
        )
        return (supposed, taken | (candidates == candidates[place])), chosen

    begin = (state, jnp.zeros(len(candidates), bool))
    keys = jax.random.split(key, count)[jnp.where(sequential, jnp.arange(count), 0)]
    return jax.lax.scan(pick, begin, keys)[1]


def draw_candidates(key: jax.Array, unlabelled: jax.Array, count: int) -> jax.Array:
    """`count` random unlabelled pool rows, all different, in random order: [K] int32.

    The unlabelled rows are cut into `count` stretches of equal length (give or take one) and one is drawn from each, so
    that the pool is not sorted. Where fewer than `count` are left, all are drawn, and -1 follows. Padding of the pool
    changes nothing.
    """
    draw_key, order_key = jax.random.split(key)
    upto = jnp.cumsum(unlabelled)
    edges = jnp.arange(count + 1) * upto[-1] // count
    lengths = edges[1:] - edges[:-1]
    inside = jax.random.uniform(draw_key, (count,)) * lengths
    rows = jnp.searchsorted(upto, edges[:-1] + inside.astype(edges.dtype) + 1)
    rows = jnp.where(lengths > 0, rows, -1)
    order = jax.random.uniform(order_key, (count,)) + (rows < 0)
    return rows[jnp.argsort(order)].astype(jnp.int32)


def rollout(
    environment: Environment,
    utility: Utility,
    task: Task,
    initial: Labelled,
    key: chex.PRNGKey,
    *,
    sequential: jax.Array,
    record_first: Callable[[State], Any],
    record: Callable[[Step], Any],
    candidates: int | None = None,
) -> tuple[Any, Any]:
    """One episode.

    Args:
      environment: the environment.
      utility: ranks the candidates.
      task: the data.
      initial: the labelled set to start from.
      key: consumed here.
      sequential: [] bool, see `choose`.
      record_first: what to keep of the state before the first step.
      record: what to keep of each step.
      candidates: decide among so many random unlabelled points, or all where there are fewer; None: the whole pool.

    Returns:
      `record_first`'s value, and `record`'s stacked over the steps.
    """

    def look(state: State, key: chex.PRNGKey) -> tuple[jax.Array, Observation]:
        if candidates is None:
            rows = jnp.arange(len(state.unlabelled), dtype=jnp.int32)
        else:
            rows = draw_candidates(key, state.unlabelled, candidates)
        return rows, environment.observe(task, state, rows)

    def body(carry: tuple[State, jax.Array, Observation], key: chex.PRNGKey):
        state, rows, observation = carry
        choose_key, step_key, look_key = jax.random.split(key, 3)
        picks, features, _ = choose(
            environment, utility, task, state, rows, observation, choose_key, sequential, environment.batch
        )
        state, reward = environment.step(task, state, picks, step_key)
        rows, following = look(state, look_key)
        kept = record(
            Step(observation._replace(pool=None), features, picks, reward, following._replace(pool=None), state)
        )
        return (state, rows, following), kept

    reset_key, look_key, steps_key = jax.random.split(key, 3)
    state = environment.reset(task, initial, reset_key)
    first = record_first(state)
    begin = (state, *look(state, look_key))
    _, kept = jax.lax.scan(body, begin, jax.random.split(steps_key, environment.steps))
    return first, kept
