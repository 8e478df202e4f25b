"""Which rows should be labelled next: one step of the simulation, on a pool whose labels are partly known.

`prepare` works out once what does not depend on labels; `suggest` fits the classifier, and chooses, by the functions
of the environment.
"""

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
from jaxal.data.splits import Rows
from jaxal.mdp.environment import State, make_environment
from jaxal.mdp.episode import Chosen, choose
from jaxal.mdp.observation import lead
from jaxal.policies import LEARNERS, STRATEGIES
from jaxal.policies.strategy import Setting
from jaxal.presets import default
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Task, fill, location_and_scale, make_task, select

WITHOUT_LABELS = "max_herding"  # while fewer than two classes have a label, nothing can be unsure
COLD_ITERATIONS = 300  # of the probe, which here begins from nothing, and not from the last fit


class Head(NamedTuple):
    """A classifier as an affine function of latents: probabilities are softmax(latents @ kernel + bias)."""

    kernel: np.ndarray  # [D, C] float32
    bias: np.ndarray  # [C] float32; minus infinity for classes that have no label yet


class Suggestion(NamedTuple):
    """What to label next, and what the classifier says of every row of the pool."""

    rows: np.ndarray  # [n] int32, distinct, unlabelled, not pending; the first is to be labelled first
    scores: np.ndarray  # [n] float32, the strategy's own
    predicted: np.ndarray  # [m] int32
    probabilities: np.ndarray  # [m, C] float32
    reasons: (
        np.ndarray
    )  # [n, 3] float32: how unsure, how unlike anything labelled, how many are like it, 0..1 in the pool
    head: Head


class PreparedPool(NamedTuple):
    """What is known of a pool before any label; see `prepare`."""

    bank: Task  # of one task, without labels
    mean: np.ndarray  # [D] of latents
    scale: np.ndarray  # [D] that they are multiplied by
    config: Config


def prepare(latents: np.ndarray, config: Config | None = None) -> PreparedPool:
    """Standardised latents and distances of a pool; it takes time quadratic, and memory linear in its size.

    Args:
      latents: [m, D] float32.
      config: settings of the classifier and the environment; the default preset by default.
    """
    chex.assert_rank(latents, 2)
    made = default() if config is None else config
    classifier = classifier_for(made)
    assert not classifier.needs.images, "suggestions are made from latents; take --classifier linear_probe"
    rows = np.arange(len(latents))
    state = np.random.default_rng(0).permutation(rows)[: made.split.state]
    filled = fill(np.asarray(latents, np.float32))[0]
    nowhere = np.zeros(len(latents), np.int32)
    needs = classifier.needs._replace(latents=True)
    distance = DISTANCES[made.environment.distance]
    bank = make_task(
        filled,
        nowhere,
        Rows(rows, np.resize(state, made.split.state), rows[:1]),
        distance=distance,
        needs=needs,
        gram_limit=0,
    )
    if classifier.needs.raw:
        return PreparedPool(bank, np.zeros(latents.shape[1]), np.ones(latents.shape[1]), made)
    return PreparedPool(bank, *location_and_scale(filled), made)


def suggest(
    pool: np.ndarray | PreparedPool,
    labels: np.ndarray,
    n: int,
    *,
    strategy: str = "typical_uncertainty",
    classes: int | None = None,
    pending: np.ndarray | tuple[int, ...] = (),
    key: chex.PRNGKey | None = None,
) -> Suggestion:
    """The rows of a pool that should be labelled next, one after another, as the simulation chooses them.

    Args:
      pool: latents [m, D] float32, or what `prepare` made of them.
      labels: [m] int32 classes, -1 where not known; there may be none at all.
      n: how many to suggest; 0 for the classifier alone. Fewer come back where fewer are left.
      strategy: by name; while fewer than two classes have a label, rows are chosen by how well they cover the pool.
      classes: C; by default as many as the labels need. Some may have no label yet.
      pending: rows that were asked and not answered yet: not asked again, and counted as labelled with their predicted
        classes.
      key: for strategies that draw at random; consumed.

    Raises:
      ValueError: one line, when labels or pending rows do not fit the pool, or the strategy cannot be used.
    """
    prepared = pool if isinstance(pool, PreparedPool) else prepare(pool)
    labels, waiting = np.asarray(labels, np.int32), np.asarray(pending, np.int32)
    size = prepared.bank.pool_labels.shape[-1]
    number = max(1, int(labels.max(initial=-1)) + 1) if classes is None else classes
    _check(labels, waiting, size, number, strategy)
    known = np.flatnonzero(labels >= 0)
    met = np.isin(np.arange(number), labels[known])
    name = strategy if met.sum() > 1 else WITHOUT_LABELS
    labelled, asked = _slots(known), _slots(np.setdiff1d(waiting, known))
    run = _program(prepared.config, name, number, len(labelled.rows), len(asked.rows), max(n, 1))
    given = jnp.asarray(np.maximum(labels, 0))
    params = _params(prepared, name, number, labels, len(known))
    mask = jnp.asarray(met if met.sum() > 1 else np.ones(number, bool))
    made = run(prepared.bank, params, given, mask, labelled, asked, jax.random.key(0) if key is None else key)
    chosen, probabilities, qualities, kernel = jax.device_get(made)
    left = np.setdiff1d(np.arange(size), np.concatenate([known, waiting]))
    count = min(n, len(left))
    rows = chosen.picks[:count]
    ranks = qualities.argsort(1).argsort(1)[:, rows].T / max(size - 1, 1)
    kernel, constant = kernel[:-1] * prepared.scale[:, None], kernel[-1]
    bias = np.where(np.asarray(mask), constant - prepared.mean @ kernel, -np.inf)
    return Suggestion(
        rows=rows,
        scores=chosen.utilities[:count],
        predicted=probabilities.argmax(1).astype(np.int32),
        probabilities=probabilities,
        reasons=ranks.astype(np.float32),
        head=Head(kernel.astype(np.float32), bias.astype(np.float32)),
    )


def _check(labels: np.ndarray, pending: np.ndarray, size: int, classes: int, strategy: str) -> None:
    if labels.shape != (size,):
        raise ValueError(f"labels have shape {labels.shape}; one for each of the pool's {size} rows is expected")
    if labels.max(initial=-1) >= classes or labels.min(initial=-1) < -1:
        raise ValueError(
            f"labels are {labels.min()} to {labels.max()}; with {classes} classes they are -1 to {classes - 1}"
        )
    if pending.size and not 0 <= pending.min() <= pending.max() < size:
        raise ValueError(f"pending rows are {pending.min()} to {pending.max()}; they must be 0 to {size - 1}")
    if STRATEGIES[strategy].cheats or strategy in LEARNERS:
        why = "sees labels that are not there" if STRATEGIES[strategy].cheats else "has to be trained first"
        raise ValueError(f"strategy {strategy!r} {why}; take another")


def _slots(rows: np.ndarray) -> Labelled:
    """Rows in slots whose number is a power of two, so that what is compiled serves for many labels."""
    slots = 1 << max(len(rows) - 1, 0).bit_length()
    padded = np.pad(rows, (0, slots - len(rows))).astype(np.int32)
    return Labelled(jnp.asarray(padded), jnp.arange(slots) < len(rows))


def _params(prepared: PreparedPool, name: str, classes: int, labels: np.ndarray, known: int) -> Any:
    prepare_params = STRATEGIES[name].prepare
    if prepare_params is None:
        return None
    latents = np.asarray(prepared.bank.latents)[0, : len(labels), :-1]
    return prepare_params(Setting(prepared.config, 0, classes, latents, labels, np.array([known]), None))


@cache
def _program(config: Config, name: str, classes: int, slots: int, waiting: int, n: int) -> Any:
    """The compiled step: a fit on the labelled rows, then n picks beside those that are waiting."""
    probe = replace(config.probe, iterations=max(config.probe.iterations, COLD_ITERATIONS))
    settings = replace(config.environment, initial=max(slots, classes), batch=waiting + n, budget=2**30)
    environment = make_environment(settings, classifier_for(replace(config, probe=probe)), classes, 1)
    strategy = STRATEGIES[name]
    sequential = jnp.asarray(strategy.picks_in_sequence(config))

    def run(
        bank: Task,
        params: Any,
        labels: jax.Array,
        class_mask: jax.Array,
        labelled: Labelled,
        asked: Labelled,
        key: chex.PRNGKey,
    ) -> tuple[Chosen, jax.Array, jax.Array, jax.Array]:
        fit_key, choose_key = jax.random.split(key)
        task = select(bank, jnp.int32(0))._replace(pool_labels=labels, class_mask=class_mask)
        initial = Labelled(*(jnp.pad(x, (0, settings.initial - slots)) for x in labelled))
        state = environment.reset(task, initial, fit_key)
        probabilities = jax.nn.softmax(state.fitted.logits[: len(labels)])
        seen = environment.observe(task, state, jnp.arange(len(labels), dtype=jnp.int32)).candidates
        qualities = jnp.stack([-lead(seen.probabilities), seen.nearest_labelled, -seen.local_density])
        kernel = weights(task, state.fitted, initial)

        def mark(state: State, slot: Labelled) -> tuple[State, None]:
            after = environment.mark_pending(task, state, slot.rows)
            return jax.tree.map(lambda new, old: jnp.where(slot.mask, new, old), after, state), None

        state, _ = jax.lax.scan(mark, state, asked)
        candidates = jnp.arange(len(labels), dtype=jnp.int32)
        observation = environment.observe(task, state, candidates)
        utility = partial(strategy.utility, params)
        chosen = choose(environment, utility, task, state, candidates, observation, choose_key, sequential, n)
        return chosen, probabilities, qualities, kernel

    return jax.jit(run)
