"""Active learning as a Markov decision process (paper, section 3.1): every shape static, every function pure.

An episode starts from an initial labelled set, labels N points a step and ends when the budget is spent. The reward
is the gain in the classifier's quality on the task's hold-out rows (eq. 2).
"""

from functools import partial
from typing import NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.classifiers.classifier import Classifier, Fitted, Labelled
from jaxal.config import EnvironmentConfig
from jaxal.mdp.metrics import REWARDS, Metric
from jaxal.mdp.observation import (
    ACTION_FEATURES,
    STATE_FEATURES,
    Candidates,
    Observation,
    StateView,
    action_features,
    state_vector,
)
from jaxal.mdp.pool import PoolView
from jaxal.tasks import distances
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Task


class State(NamedTuple):
    """Where an episode stands."""

    labelled: Labelled
    pending: Labelled  # [N] picks of a step that is not finished, whose labels are not known yet
    unlabelled: jax.Array  # [P] bool
    class_counts: jax.Array  # [C] float, labels of each class so far
    fitted: Fitted
    value: jax.Array  # [] quality on the hold-out rows
    time: jax.Array  # [] int32 steps done


class InitialSet(Protocol):
    """How an episode's first labels are drawn."""

    def __call__(self, task: Task, key: chex.PRNGKey) -> Labelled:
        """A random set, one point of each class first. Consumes the key."""
        ...


class Reset(Protocol):
    """How an episode begins."""

    def __call__(self, task: Task, initial: Labelled, key: chex.PRNGKey) -> State:
        """The state once the initial set is labelled and the classifier fitted. Consumes the key."""
        ...


class LabelStep(Protocol):
    """How points are labelled."""

    def __call__(self, task: Task, state: State, picks: jax.Array, key: chex.PRNGKey) -> tuple[State, jax.Array]:
        """Labels pool rows `picks` [N] int32 and refits: the state, and the reward []. Consumes the key."""
        ...


class Observe(Protocol):
    """What is seen of a state."""

    def __call__(self, task: Task, state: State, candidates: jax.Array) -> Observation:
        """The state, and the candidates [K] int32 pool rows; -1: none."""
        ...


class MarkPending(Protocol):
    """How picks count before their labels are known."""

    def __call__(self, task: Task, state: State, picks: Labelled) -> State:
        """As if the picks [N] had been labelled with the classes predicted for them, without a refit."""
        ...


class Environment(NamedTuple):
    """Pure functions, and the shape of an episode; `make_environment` captures the settings."""

    initial_set: InitialSet
    reset: Reset
    step: LabelStep
    observe: Observe
    mark_pending: MarkPending
    batch: int  # N, labels a step
    steps: int  # T
    episodes_at_once: int | None  # see `Classifier`


class Rules(NamedTuple):
    """What stays the same in all episodes of an environment."""

    config: EnvironmentConfig
    classifier: Classifier
    quality: Metric
    classes: int  # C, at most, of a task
    steps: int  # T

    @property
    def first(self) -> int:
        """Slots of the initial set."""
        return max(self.config.initial, self.classes)

    @property
    def slots(self) -> int:
        """B, slots for labels."""
        return self.first + self.steps * self.config.batch


def make_environment(config: EnvironmentConfig, classifier: Classifier, classes: int, steps: int) -> Environment:
    """The environment of a bank whose tasks have at most `classes` classes, with `steps` steps an episode.

    Raises:
      UnknownNameError: for a reward or a feature that is not registered.
    """
    for registry, names in ((STATE_FEATURES, config.state_features), (ACTION_FEATURES, config.action_features)):
        for name in names:
            registry[name]
    rules = Rules(config, classifier, REWARDS[config.reward], classes, steps)
    return Environment(
        initial_set=partial(initial_set, rules),
        reset=partial(reset, rules),
        step=partial(step, rules),
        observe=partial(observe, rules),
        mark_pending=partial(mark_pending, rules),
        batch=config.batch,
        steps=steps,
        episodes_at_once=classifier.episodes_at_once,
    )


def initial_set(rules: Rules, task: Task, key: chex.PRNGKey) -> Labelled:
    """See `InitialSet`."""
    order = jnp.where(task.pool_mask, jax.random.uniform(key, task.pool_labels.shape), jnp.inf)
    of_class = jax.nn.one_hot(task.pool_labels, rules.classes, axis=0, dtype=bool)  # [C, P]
    first = jnp.argmin(jnp.where(of_class, order, jnp.inf), 1)  # the earliest of each class
    order = order.at[jnp.where(jnp.any(of_class, 1), first, len(order))].add(-2.0, mode="drop")
    size = jnp.maximum(jnp.sum(task.class_mask), rules.config.initial)
    rows = jax.lax.top_k(-order, rules.first)[1]
    used = jnp.arange(rules.first) < size
    return Labelled(jnp.where(used, rows, 0).astype(jnp.int32), used)


def reset(rules: Rules, task: Task, initial: Labelled, key: chex.PRNGKey) -> State:
    """See `Reset`."""
    labelled = Labelled(*(jnp.pad(x, (0, rules.slots - rules.first)) for x in initial))
    state = State(
        labelled=labelled,
        pending=_nothing_pending(rules),
        unlabelled=task.pool_mask,
        class_counts=jnp.zeros(rules.classes),
        fitted=rules.classifier.init(task, rules.slots),
        value=jnp.zeros(()),
        time=jnp.zeros((), jnp.int32),
    )
    return _label(rules, task, state, labelled, jnp.zeros((), jnp.int32), rules.first, key)


def step(rules: Rules, task: Task, state: State, picks: jax.Array, key: chex.PRNGKey) -> tuple[State, jax.Array]:
    """See `LabelStep`."""
    batch = rules.config.batch
    chex.assert_shape(picks, (batch,))
    chex.assert_type(picks, jnp.int32)
    start = rules.first + batch * state.time
    labelled = Labelled(
        rows=jax.lax.dynamic_update_slice_in_dim(state.labelled.rows, picks, start, 0),
        mask=jax.lax.dynamic_update_slice_in_dim(state.labelled.mask, jnp.ones_like(picks, bool), start, 0),
    )
    after = _label(rules, task, state, labelled, start, batch, key)._replace(time=state.time + 1)
    return after, after.value - state.value


def _label(
    rules: Rules, task: Task, state: State, labelled: Labelled, start: jax.Array, size: int, key: chex.PRNGKey
) -> State:
    """Reveal the labels in slots start..start+size and refit."""
    rows, new = (jax.lax.dynamic_slice_in_dim(x, start, size) for x in labelled)
    counts = jax.nn.one_hot(jnp.where(new, task.pool_labels[rows], -1), rules.classes)
    fitted = rules.classifier.fit(task, state.fitted, labelled, start, size, key)
    return state._replace(
        labelled=labelled,
        pending=_nothing_pending(rules),
        unlabelled=_without(state.unlabelled, Labelled(rows, new)),
        class_counts=state.class_counts + jnp.sum(counts, 0),
        fitted=fitted,
        value=rules.quality(holdout_logits(task, fitted), task.holdout_labels),
    )


def _nothing_pending(rules: Rules) -> Labelled:
    return Labelled(jnp.zeros(rules.config.batch, jnp.int32), jnp.zeros(rules.config.batch, bool))


def observe(rules: Rules, task: Task, state: State, candidates: jax.Array) -> Observation:
    """See `Observe`."""
    chex.assert_rank(candidates, 1)
    config = rules.config
    pool, set_aside, _ = task.shape
    geometry = jax.tree.map(lambda x: x[candidates] if x.ndim else x, state.fitted.geometry)
    logits = state.fitted.logits[candidates]
    shares = state.class_counts / jnp.maximum(jnp.sum(state.class_counts), 1.0)
    raw = Candidates(
        logits=logits,
        mean_distance_labelled=distances.mean_labelled(geometry),
        mean_distance_unlabelled=distances.mean_unlabelled(geometry),
        nearest_labelled=geometry.nearest_labelled,
        local_density=geometry.local_density,
        class_frequency=shares[jnp.argmax(logits, -1)],
    )
    view = StateView(
        logits=jax.lax.slice_in_dim(state.fitted.logits, pool, pool + set_aside),
        progress=state.time / rules.steps,
    )
    whole = PoolView(
        task=task,
        fitted=state.fitted,
        distance=DISTANCES[config.distance],
        rows=candidates,
        unlabelled=state.unlabelled,
        chosen=jax.tree.map(lambda *parts: jnp.concatenate(parts), state.labelled, state.pending),
        known=jnp.pad(state.labelled.mask, (0, config.batch)),
    )
    mask = state.unlabelled[candidates] & (candidates >= 0)
    return Observation(
        state_vector=state_vector(config.state_features, view),
        features=action_features(config.action_features, raw, mask, config.standardise),
        candidates=raw,
        mask=mask,
        time=state.time,
        pool=whole,
    )


def mark_pending(rules: Rules, task: Task, state: State, picks: Labelled) -> State:
    """See `MarkPending`."""
    before = jnp.sum(state.pending.mask)
    places = jnp.where(picks.mask, before + jnp.cumsum(picks.mask) - 1, len(state.pending.mask))
    predicted = jnp.argmax(state.fitted.logits[picks.rows], -1)
    return state._replace(
        pending=Labelled(
            state.pending.rows.at[places].set(picks.rows, mode="drop"),
            state.pending.mask.at[places].set(True, mode="drop"),
        ),
        unlabelled=_without(state.unlabelled, picks),
        class_counts=state.class_counts + jnp.sum(jax.nn.one_hot(predicted, rules.classes) * picks.mask[:, None], 0),
        fitted=rules.classifier.mark_pending(task, state.fitted, picks),
    )


def _without(unlabelled: jax.Array, picks: Labelled) -> jax.Array:
    """`unlabelled` [P], False at the picks [N]."""
    return unlabelled.at[jnp.where(picks.mask, picks.rows, len(unlabelled))].set(False, mode="drop")


def holdout_logits(task: Task, fitted: Fitted) -> jax.Array:
    """Logits of the hold-out rows: [H, C]."""
    return fitted.logits[-task.holdout_labels.shape[-1] :]
