"""Yardsticks that see the true labels, of the pool and of the hold-out rows: how far a strategy could go.

They refit the probe with each candidate's true label and take the best, so that they can only be had with
`linear_probe` and `newton`, whose l2 is their parameter. Points picked in the same step have their true labels too.
"""

import chex
import jax
import jax.numpy as jnp

from jaxal.classifiers.bordered import refit_with_each
from jaxal.mdp.environment import holdout_logits
from jaxal.mdp.episode import Utility
from jaxal.mdp.metrics import Metric, accuracy, soft_accuracy
from jaxal.mdp.observation import Observation
from jaxal.policies import hand_written, herding
from jaxal.policies.gradients import badge
from jaxal.policies.information import bait

CANDIDATES = 20  # of the greedy oracles, as in CDALBench
ITERATIONS = 50  # of a refit, as many as the probe's own has by default
PROPOSERS: tuple[Utility, ...] = (
    hand_written.random,
    hand_written.margin,
    hand_written.k_center,
    hand_written.typicality,
    hand_written.typical_uncertainty,
    herding.max_herding,
    herding.uherding,
    herding.local_herding,
    herding.chord_herding,
    badge,
)
"""Whose first choices `best_of_strategies` judges, beside that of `bait`."""


def greedy_oracle(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Cheats: of 20 random points the one whose true label raises the soft accuracy on the hold-out rows most.

    Where none raises it, the smallest margin (as in CDALBench). `params` [] is l2.
    """
    return _greedy(soft_accuracy, params, observation, key)


def greedy_oracle_accuracy(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Cheats: as `greedy_oracle`, but judged by the accuracy on the hold-out rows."""
    return _greedy(accuracy, params, observation, key)


def best_of_strategies(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Cheats: the best of eleven strategies' picks, by the soft accuracy with their true labels (BoSS, 2026).

    `params` [] is l2.
    """
    proposers = (*PROPOSERS, lambda seen, key: bait(params, seen, key))
    picks = []
    for propose, own_key in zip(proposers, jax.random.split(key, len(proposers)), strict=True):
        utilities = propose(observation, own_key)
        picks.append(jnp.argmax(jnp.where(observation.mask, utilities, -jnp.inf)))
    places = jnp.stack(picks)
    return _only(places, _scores(soft_accuracy, params, observation, places), observation)


def _greedy(quality: Metric, l2: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    view = observation.whole_pool
    noise = jnp.where(observation.mask, jax.random.uniform(key, observation.mask.shape), -1.0)
    places = jax.lax.top_k(noise, min(CANDIDATES, len(noise)))[1]
    scores = jnp.where(observation.mask[places], _scores(quality, l2, observation, places), -jnp.inf)
    present = quality(holdout_logits(view.task, view.fitted), view.task.holdout_labels)
    margins = hand_written.margin(observation, key)
    return jnp.where(jnp.max(scores) > present, _only(places, scores, observation), margins)


def _scores(quality: Metric, l2: jax.Array, observation: Observation, places: jax.Array) -> jax.Array:
    """Quality on the hold-out rows with the true label of each of the candidates at `places` [n]: [n]."""
    view = observation.whole_pool
    task, rows = view.task, view.rows[places]
    known, tried = view.chosen.labels(task), task.pool_labels[rows]
    logits = refit_with_each(task, view.fitted.model, view.chosen, known, rows, tried, l2, ITERATIONS)
    return jax.vmap(quality, (0, None))(logits, task.holdout_labels)


def _only(places: jax.Array, scores: jax.Array, observation: Observation) -> jax.Array:
    """`scores` [n] at `places` [n] among the candidates, and no other candidate: [K]."""
    return jnp.full(observation.mask.shape, -jnp.inf).at[places].max(scores)
