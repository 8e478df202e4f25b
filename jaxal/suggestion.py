"""Which rows should be labelled next: one step of the simulation, on a pool whose labels are partly known.

`prepare_pool` (in `pools`) finds out what does not depend on labels, and `suggest` fits the classifier and
chooses, both by the functions of the environment.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
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
from jaxal.policies.over_pool import WHOLE_POOL
from jaxal.policies.policy import Policy
from jaxal.policies.strategy import Setting, Strategy
from jaxal.pools import Head, PreparedPool, part_of, prepare_pool, state_rows
from jaxal.presets import STRATEGY
from jaxal.tasks.task import Task, select

WITHOUT_LABELS = "typicality"  # while fewer than two classes have a label, nothing can be unsure
LABELLED_SLOTS, PENDING_SLOTS = 64, 16  # at the least
COLD_ITERATIONS = 300  # of the probe at the least, as it begins from nothing here, and not from the last fit


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
        are chosen by how well they cover the pool, the first of them where it is densest. Of more than 2,048 rows one
        that compares candidates with the whole pool (`Strategy.over_pool`) sees as many, random ones among them, and
        chooses from these.
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
    fit_key, choose_key = jax.random.split(jax.random.key(0) if key is None else key)
    asked = Asked(config, pool, known, waiting, met, n)
    state, found = _fitted(asked, fit_key)
    probabilities, qualities, kernel = jax.device_get(found)
    picks, scores = np.zeros(0, np.int32), np.zeros(0, np.float32)
    if asked.possible and made.over_pool and pool.size > WHOLE_POOL:
        rows = _some_rows(asked, choose_key)
        part = asked.among(rows)
        picks, scores = _chosen(part, made, learned, _fitted(part, fit_key)[0], choose_key)
        picks = rows[picks]
    elif asked.possible:
        picks, scores = _chosen(asked, made, learned, state, choose_key)
    exceeded = [np.mean(qualities < own[:, None], 1) for own in qualities[:, picks].T]
    return Suggestion(
        rows=picks,
        scores=scores,
        predicted=probabilities.argmax(1).astype(np.int32),
        probabilities=probabilities,
        reasons=np.array(exceeded, np.float32).reshape(-1, len(qualities)),
        head=pool.head(kernel[:-1], np.where(met, kernel[-1], -np.inf)),
    )


class Asked(NamedTuple):
    """What is asked of a pool."""

    config: Config
    pool: PreparedPool
    labels: np.ndarray  # [m] int32, -1 where not known
    waiting: np.ndarray  # [.] int32 rows that are pending and not labelled
    met: np.ndarray  # [C] bool, whether a class has a label
    n: int

    @property
    def labelled(self) -> np.ndarray:
        """Rows whose labels are known."""
        return np.flatnonzero(self.labels >= 0)

    @property
    def possible(self) -> int:
        """How many can be suggested."""
        return min(self.n, self.pool.size - len(self.labelled) - len(self.waiting))

    @property
    def told(self) -> tuple[jax.Array, jax.Array]:
        """Labels [m] int32, 0 where not known, and `met`: as programs take them."""
        return jnp.asarray(np.maximum(self.labels, 0), jnp.int32), jnp.asarray(self.met)

    def among(self, rows: np.ndarray) -> "Asked":
        """The same of some of the rows [p] int32, in rising order, with all that are labelled or waiting."""
        waiting = np.searchsorted(rows, self.waiting).astype(np.int32)
        return self._replace(pool=part_of(self.pool, rows), labels=self.labels[rows], waiting=waiting)


def _fitted(asked: Asked, key: chex.PRNGKey) -> tuple[State, Any]:
    """The classifier; see `_fit_program`."""
    labelled = _slots(asked.labelled, LABELLED_SLOTS)
    fit = _fit_program(asked.config, len(asked.met), len(labelled.rows))
    set_aside = _set_aside(asked.labels, state_rows(asked.config))
    return fit(asked.pool.bank, *asked.told, labelled, set_aside, key)


def _chosen(
    asked: Asked, strategy: Strategy, learned: Any, state: State, key: chex.PRNGKey
) -> tuple[np.ndarray, np.ndarray]:
    """Rows [possible] int32 and their utilities [possible] float32."""
    slots, classes = _slots(asked.waiting, PENDING_SLOTS), len(asked.met)
    run = _choice_program(asked.config, strategy, classes, len(slots.rows), asked.n)
    params = _params(asked, strategy, learned)
    done = jnp.float32(_progress(asked.config, classes, len(asked.labelled) + len(asked.waiting)))
    chosen = jax.device_get(run(asked.pool.bank, state, params, *asked.told, slots, done, key))
    return chosen.picks[: asked.possible], chosen.utilities[: asked.possible]


def _some_rows(asked: Asked, key: chex.PRNGKey) -> np.ndarray:
    """All rows that are labelled or waiting, and as many random others as make `WHOLE_POOL`: [p] int32, rising.

    Where the former and the n make more than half of that, twice, four times, ... as many.
    """
    chosen = np.union1d(asked.labelled, asked.waiting)
    size = WHOLE_POOL
    while size < min(2 * (len(chosen) + asked.n), asked.pool.size):
        size *= 2
    seed = [len(chosen), *np.asarray(jax.random.key_data(key)).tolist()]
    others = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(asked.pool.size), chosen))
    return np.sort(np.concatenate([chosen, others[: size - len(chosen)]])).astype(np.int32)


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


def _set_aside(labels: np.ndarray, count: int) -> jax.Array:
    """Random rows without a label, whose predictions are the state: [count] int32."""
    order = np.random.default_rng(0).permutation(len(labels))
    free = order[labels[order] < 0]
    return jnp.asarray(np.resize(free if len(free) else order, count), jnp.int32)


def _progress(config: Config, classes: int, labels: int) -> float:
    """The share of an episode of the simulation that is over."""
    first = max(config.environment.initial, classes)
    return float(np.clip((labels - first) / max(config.environment.budget - first, 1), 0.0, 1.0))


def _params(asked: Asked, strategy: Strategy, learned: Any) -> Any:
    """What the strategy prepares itself from, for the one step that is made."""
    pool = asked.pool
    if strategy.prepare is None:
        return None
    assert pool.bank.latents is not None
    return strategy.prepare(
        Setting(
            config=replace(pool.config, environment=replace(pool.config.environment, batch=asked.n)),
            seed=0,
            classes=1,
            latents=np.asarray(pool.bank.latents)[0, : pool.size, :-1],
            labels=asked.labels,
            labels_before=np.array([len(asked.labelled) + len(asked.waiting)]),
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
