"""Which rows should be labelled next: one step of the simulation, on a pool whose labels are partly known.

`prepare_pool` finds out what does not depend on labels, and `suggest` fits the classifier and chooses, both by the
functions of the environment.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.build import classifier_for
from jaxal.classifiers.classifier import Labelled
from jaxal.classifiers.linear_probe import weights
from jaxal.config import Config
from jaxal.mdp.environment import State, make_environment
from jaxal.mdp.episode import Chosen, choose
from jaxal.mdp.observation import Observation, lead
from jaxal.policies import LEARNERS, STRATEGIES
from jaxal.policies.policy import Policy
from jaxal.policies.strategy import Setting, Strategy
from jaxal.presets import STRATEGY, default
from jaxal.tasks import distances
from jaxal.tasks.distances import DISTANCES, Geometry
from jaxal.tasks.task import Task, fill, location_and_scale, scaled, select

WITHOUT_LABELS = "typicality"  # while fewer than two classes have a label, nothing can be unsure
LABELLED_SLOTS, PENDING_SLOTS = 64, 16  # at the least
COLD_ITERATIONS = 300  # of the probe at the least, as it begins from nothing here, and not from the last fit


class Head(NamedTuple):
    """A classifier as an affine function of latents: probabilities are softmax(latents @ kernel + bias)."""

    kernel: np.ndarray  # [D, C] float32
    bias: np.ndarray  # [C] float32; minus infinity for classes that have no label yet

    def logits(self, latents: np.ndarray) -> np.ndarray:
        """latents: [n, D] float32, as they were given to `prepare_pool`. Returns [n, C] float32."""
        return latents @ self.kernel + self.bias

    def probabilities(self, latents: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Softmax of the logits, divided by a temperature: [n, C] float32."""
        logits = self.logits(latents) / temperature
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)


class Suggestion(NamedTuple):
    """What to label next, and what the classifier says of every row of the pool.

    rows: [n] int32, distinct, unlabelled, not pending; the first is to be labelled first.
    scores: [n] float32, the strategy's own.
    predicted: [m] int32 classes.
    probabilities: [m, C] float32; 0 for classes that have no label yet, where others have.
    reasons: [n, 3] float32, shares of the pool that a row exceeds: in how unsure the classifier is, in how unlike it is
      anything labelled, in how many are like it.
    head: the classifier.
    """

    rows: np.ndarray
    scores: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    reasons: np.ndarray
    head: Head


class Survey(NamedTuple):
    """What takes long to find out of a pool, and is small."""

    mean: np.ndarray  # [D] of the latents
    scale: np.ndarray  # [D] that they are multiplied by, once centred
    geometry: Geometry


class PreparedPool(NamedTuple):
    """What is known of a pool before any label; see `prepare_pool`."""

    bank: Task  # of one task, its labels not known
    survey: Survey
    config: Config

    @property
    def size(self) -> int:
        """m, rows of the pool."""
        return self.bank.pool_labels.shape[-1]

    def head(self, kernel: np.ndarray, constant: np.ndarray) -> Head:
        """A classifier of standardised latents, kernel [D, C] and constant [C], as one of the latents as they are."""
        own = kernel * self.survey.scale[:, None]
        return Head(own.astype(np.float32), (constant - self.survey.mean @ own).astype(np.float32))


def prepare_pool(latents: np.ndarray, config: Config | None = None, survey: Survey | None = None) -> PreparedPool:
    """Standardises the latents of a pool, and finds out how they lie to each other.

    It takes memory linear in the rows. The time is quadratic up to 10,000 rows, and linear beyond, where as many random
    ones stand for the pool in mean distances and local densities (`tasks.distances`).

    Args:
      latents: [m, D] float32; missing values (NaN) become their column's median.
      config: settings of the classifier and the environment; the default preset by default. A policy's are `.config`.
      survey: of these latents with these settings, where an earlier call has made it: it is most of the time.

    Raises:
      ValueError: one line, for a classifier that is not a linear head on latents, or latents of another shape.
    """
    made = default() if config is None else config
    if made.environment.classifier != "linear_probe":
        raise ValueError(f"classifier is {made.environment.classifier!r}; suggestions are made with linear_probe alone")
    if np.ndim(latents) != 2 or not len(latents):
        raise ValueError(f"latents have shape {np.shape(latents)}; [rows, size] is expected, with one row at the least")
    pool = fill(np.asarray(latents))[0]
    size, width = pool.shape
    if survey is not None:
        mean, scale = survey.mean, survey.scale
    elif classifier_for(made).needs.raw:
        mean, scale = np.zeros(width), np.ones(width)
    else:
        mean, scale = location_and_scale(pool)
    others = _state_rows(made) + 1  # rows that nothing is known of: see `_fit_program`
    rows = np.empty((1, size + others, width + 1), np.float32)
    scaled(pool, mean, scale, rows[0, :size, :-1])
    rows[0, size:] = 0.0
    rows[..., -1] = 1.0
    z = jax.device_put(rows)
    geometry = _geometry(DISTANCES[made.environment.distance], z, size) if survey is None else survey.geometry
    bank = Task(
        images=None,
        image_rows=jnp.zeros((1, size + others), jnp.int32),
        gram=None,
        holdout_gram=None,
        latents=z,
        number=jnp.zeros(1, jnp.int32),
        pool_labels=jnp.zeros((1, size), jnp.int32),
        holdout_labels=jnp.zeros((1, 1), jnp.int32),
        class_mask=jnp.ones((1, 1), bool),
        geometry=jax.tree.map(lambda x: jnp.asarray(x)[None], geometry),
        norms=_norms(z, size),
    )
    return PreparedPool(bank, Survey(mean, scale, jax.tree.map(np.asarray, geometry)), made)


@partial(jax.jit, static_argnums=(0, 2))
def _geometry(distance: distances.Distance, rows: jax.Array, size: int) -> Geometry:
    return distances.geometry(distance, rows[0, :size, :-1], jnp.ones(size, bool))


@partial(jax.jit, static_argnums=1)
def _norms(rows: jax.Array, size: int) -> jax.Array:
    return jnp.sum(rows[:, :size, :-1] ** 2, -1)


def suggest(
    latents: np.ndarray | PreparedPool,
    labels: np.ndarray | Sequence[int],
    n: int,
    *,
    strategy: str | Policy = STRATEGY,
    classes: int | None = None,
    pending: np.ndarray | Sequence[int] = (),
    key: chex.PRNGKey | None = None,
) -> Suggestion:
    """The rows of a pool that should be labelled next, one after another, as the simulation chooses them.

    Pure: the same arguments give the same suggestion.

    Args:
      latents: [m, D] float32, or what `prepare_pool` made of them, which saves its time in every further call.
      labels: [m] int classes, -1 where not known; there may be none at all.
      n: how many to suggest; 0 for the classifier alone. Fewer come back where fewer are left.
      strategy: by name, or a policy, of whose seeds the first is asked. While fewer than two classes have a label, rows
        are chosen by how well they cover the pool, the first of them where it is densest.
      classes: C; by default as many as the labels need. Some may have no label yet.
      pending: rows that were asked and not answered yet: not asked again, and counted as labelled with their predicted
        classes.
      key: of `jax.random`, for strategies that draw at random; consumed.

    Raises:
      ValueError: one line, where labels or pending rows do not fit the pool, or the strategy cannot be used.
    """
    config = strategy.config if isinstance(strategy, Policy) else None
    pool = latents if isinstance(latents, PreparedPool) else prepare_pool(latents, config)
    config = pool.config if config is None else config
    known, waiting = _checked(pool, config, labels, pending, n, classes)
    classes = max(1, int(known.max()) + 1) if classes is None else classes
    made, learned = _strategy(strategy, classes)
    met = np.isin(np.arange(classes), known[known >= 0])
    if met.sum() < 2:
        made, learned, met = STRATEGIES[WITHOUT_LABELS], None, np.ones(classes, bool)
    rows = np.flatnonzero(known >= 0)
    fit_key, choose_key = jax.random.split(jax.random.key(0) if key is None else key)

    labelled = _slots(rows, LABELLED_SLOTS)
    told, mask = jnp.asarray(np.maximum(known, 0), jnp.int32), jnp.asarray(met)
    fit = _fit_program(config, classes, len(labelled.rows))
    state, found = fit(pool.bank, told, mask, labelled, _set_aside(known, _state_rows(config)), fit_key)
    probabilities, qualities, kernel = jax.device_get(found)

    count = min(n, pool.size - len(rows) - len(waiting))
    picks, scores = np.zeros(0, np.int32), np.zeros(0, np.float32)
    if count:
        asked = _slots(waiting, PENDING_SLOTS)
        run = _choice_program(config, made, classes, len(asked.rows), n)
        params = _params(pool, made, learned, known, len(waiting), n)
        done = jnp.float32(_progress(config, classes, len(rows) + len(waiting)))
        chosen = jax.device_get(run(pool.bank, state, params, told, mask, asked, done, choose_key))
        picks, scores = chosen.picks[:count], chosen.utilities[:count]
    exceeded = [np.mean(qualities < own[:, None], 1) for own in qualities[:, picks].T]
    return Suggestion(
        rows=picks,
        scores=scores,
        predicted=probabilities.argmax(1).astype(np.int32),
        probabilities=probabilities,
        reasons=np.array(exceeded, np.float32).reshape(-1, len(qualities)),
        head=pool.head(kernel[:-1], np.where(met, kernel[-1], -np.inf)),
    )


def _checked(
    pool: PreparedPool,
    config: Config,
    labels: np.ndarray | Sequence[int],
    pending: np.ndarray | Sequence[int],
    n: int,
    classes: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels [m], and the rows that are pending and not labelled. Raises ValueError, one line."""
    known, waiting = np.asarray(labels), np.asarray(pending, np.int32)
    if known.shape != (pool.size,):
        raise ValueError(f"labels have shape {known.shape}; one for each of the pool's {pool.size:,} rows is expected")
    if known.dtype.kind not in "iu":
        raise ValueError(f"labels are of type {known.dtype}; whole numbers are expected, -1 where a label is not known")
    if classes is not None and classes < 1:
        raise ValueError(f"classes is {classes}; it must be 1 or more")
    if known.min() < -1 or (classes is not None and known.max() >= classes):
        right = "-1 or more" if classes is None else f"-1 to {classes - 1}, with {classes} classes"
        raise ValueError(f"labels are {known.min()} to {known.max()}; they must be {right}")
    if waiting.size and not 0 <= waiting.min() <= waiting.max() < pool.size:
        raise ValueError(f"pending rows are {waiting.min()} to {waiting.max()}; they are 0 to {pool.size - 1}")
    if n < 0:
        raise ValueError(f"n is {n}; it must be 0 or more")
    if (config.environment, config.probe, config.split.state) != (
        *(pool.config.environment, pool.config.probe, pool.config.split.state),
    ):
        right = "prepare_pool(latents, policy.config)"
        raise ValueError(f"the pool was prepared with other settings than the policy's; take {right}")
    return known, np.setdiff1d(waiting, np.flatnonzero(known >= 0)).astype(np.int32)


def _strategy(strategy: str | Policy, classes: int) -> tuple[Strategy, Any]:
    """What chooses, and what it has learned. Raises ValueError, one line, where it cannot be used."""
    if isinstance(strategy, Policy):
        expected = LEARNERS[strategy.name].shapes(strategy.config, classes, strategy.seeds)
        sizes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (strategy.params, expected)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"the policy's state depends on the number of classes, and it was not trained for {classes}"
            )
        return STRATEGIES[strategy.name], jax.tree.map(lambda x: x[0], strategy.params)
    require_usable(strategy)
    return STRATEGIES[strategy], None


def require_usable(strategy: str) -> None:
    """That a strategy by that name can make suggestions. Raises ValueError, one line, where it cannot."""
    if STRATEGIES[strategy].cheats or strategy in LEARNERS:
        why = "has to be trained; give a policy" if strategy in LEARNERS else "sees labels that are not there"
        raise ValueError(f"strategy {strategy!r} {why}")


def _slots(rows: np.ndarray, least: int) -> Labelled:
    """Rows in slots whose number is `least` or twice, four times, ... it: what is compiled serves for many labels."""
    slots = least
    while slots < len(rows):
        slots *= 2
    padded = np.pad(rows, (0, slots - len(rows))).astype(np.int32)
    return Labelled(jnp.asarray(padded), jnp.arange(slots) < len(rows))


def _state_rows(config: Config) -> int:
    return max(config.split.state, 1)  # a policy has what it was trained with, and nothing else asks


def _set_aside(labels: np.ndarray, count: int) -> jax.Array:
    """Random rows without a label, whose predictions are the state: [count] int32."""
    order = np.random.default_rng(0).permutation(len(labels))
    free = order[labels[order] < 0]
    return jnp.asarray(np.resize(free if len(free) else order, count), jnp.int32)


def _progress(config: Config, classes: int, labels: int) -> float:
    """The share of an episode of the simulation that is over."""
    first = max(config.environment.initial, classes)
    return float(np.clip((labels - first) / max(config.environment.budget - first, 1), 0.0, 1.0))


def _params(pool: PreparedPool, strategy: Strategy, learned: Any, labels: np.ndarray, waiting: int, n: int) -> Any:
    """What the strategy prepares itself from, for the one step that is made."""
    if strategy.prepare is None:
        return None
    assert pool.bank.latents is not None
    return strategy.prepare(
        Setting(
            config=replace(pool.config, environment=replace(pool.config.environment, batch=n)),
            seed=0,
            classes=1,
            latents=np.asarray(pool.bank.latents)[0, : pool.size, :-1],
            labels=labels,
            labels_before=np.array([np.sum(labels >= 0) + waiting]),
            learned=learned,
        )
    )


@cache
def _fit_program(config: Config, classes: int, slots: int) -> Any:
    """The compiled fit."""
    probe = replace(config.probe, iterations=max(config.probe.iterations, COLD_ITERATIONS))
    classifier = classifier_for(replace(config, probe=probe))
    first = max(slots, classes)
    environment = make_environment(_one_step(config, first, 1), classifier, classes, 1)

    def fit(
        bank: Task,
        labels: jax.Array,
        class_mask: jax.Array,
        labelled: Labelled,
        set_aside: jax.Array,
        key: chex.PRNGKey,
    ) -> tuple[State, tuple[jax.Array, jax.Array, jax.Array]]:
        """The state, in which random unlabelled rows stand for those set aside, and what is told of the classifier.

        That is probabilities [m, C]; [3, m] what reasons are ranks in; weights [D, C], those of the constant last.
        """
        task = select(bank, jnp.int32(0))._replace(pool_labels=labels, class_mask=class_mask)
        state = environment.reset(task, Labelled(*(jnp.pad(x, (0, first - slots)) for x in labelled)), key)
        pool = len(labels)
        logits = state.fitted.logits.at[pool : pool + len(set_aside)].set(state.fitted.logits[set_aside])
        state = state._replace(fitted=state.fitted._replace(logits=logits))
        probabilities, geometry = jax.nn.softmax(logits[:pool]), state.fitted.geometry
        qualities = jnp.stack([-lead(probabilities), geometry.nearest_labelled, -geometry.local_density])
        return state, (probabilities, qualities, weights(task, state.fitted, state.labelled))

    return jax.jit(fit)


@cache
def _choice_program(config: Config, strategy: Strategy, classes: int, waiting: int, n: int) -> Any:
    """The compiled choice of n rows beside those that are waiting."""
    batch = waiting + n
    environment = make_environment(_one_step(config, 1, batch), classifier_for(config), classes, 1)
    sequential = jnp.asarray(strategy.picks_in_sequence(config))

    def run(
        bank: Task,
        state: State,
        params: Any,
        labels: jax.Array,
        class_mask: jax.Array,
        asked: Labelled,
        progress: jax.Array,
        key: chex.PRNGKey,
    ) -> Chosen:
        task = select(bank, jnp.int32(0))._replace(pool_labels=labels, class_mask=class_mask)
        nothing = Labelled(jnp.zeros(batch, jnp.int32), jnp.zeros(batch, bool))
        state = environment.mark_pending(task, state._replace(pending=nothing, time=progress), asked)
        candidates = jnp.arange(len(labels), dtype=jnp.int32)

        def utility(observation: Observation, key: chex.PRNGKey) -> jax.Array:
            # What a strategy has prepared is for one step, the first.
            return strategy.utility(params, observation._replace(time=jnp.int32(0)), key)

        observation = environment.observe(task, state, candidates)
        return choose(environment, utility, task, state, candidates, observation, key, sequential, n)

    return jax.jit(run)


def _one_step(config: Config, initial: int, batch: int) -> Any:
    """The environment's settings for an episode of one step."""
    return replace(config.environment, initial=initial, batch=batch, budget=initial + batch)
