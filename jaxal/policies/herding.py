"""Herding: what a label would cover of the pool (Bae et al. 2024; Bae, Oliveira and Sutherland 2025), and relatives.

With a kernel k, m_j is the largest k(x_j, x_l) over the labelled points l, and a candidate i gains
G_i = mean over the pool of w_j max(k_ij - m_j, 0). Strategies differ in their kernels and weights. Points that are
picked in the same step count as labelled.
"""

from typing import Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp import observation as features
from jaxal.mdp.observation import Observation, lead
from jaxal.mdp.pool import PoolView
from jaxal.policies.over_pool import mean_over_pool
from jaxal.policies.temperature import temperature

CHORD_REACH = 1.4  # width of `chord_herding`, in mean chord distances to the nearest label
SAME_POINT = 1e-5  # squared chord distances that rounding alone may cause


class Kernel(Protocol):
    """How much a point covers of another: 1 of itself, and nothing of what is far away."""

    def __call__(self, rows: jax.Array, others: jax.Array | None = None, /) -> jax.Array:
        """Pool rows [N] int32 and others [L], by default the whole pool -> [N, L]."""
        ...


def max_herding(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Largest gain in coverage, by a Gaussian kernel of width 1 on latents of unit norm (Bae et al. 2024)."""
    view = observation.whole_pool
    return _gain(view, _on_chords(view, jnp.ones(())), jnp.ones(view.unlabelled.shape), key)


def uherding(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Largest gain in coverage weighted by 1 - margin, the kernel narrowing with the labels (Bae et al. 2025).

    Its temperature is 1; `uherding_t` has the authors' calibration.
    """
    view = observation.whole_pool
    return _uherding(view, view.logits, key)


def uherding_t(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """UHerding with the authors' temperature, calibrated on the last of the labels.

    `params` [] is the probe's l2.
    """
    view = observation.whole_pool
    return _uherding(view, view.logits / temperature(view, params), key)


def reach_herding(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """(1 - margin) x gain in coverage so weighted, the kernel as wide as the mean distance to the nearest label.

    `uherd_r` in the notes that it was found with, as the names at the ends of the following docstrings.
    """
    view = observation.whole_pool
    width = jnp.maximum(_mean(view, view.geometry.nearest_labelled), 1e-6)  # 0 among copies of labelled points

    def kernel(rows: jax.Array, others: jax.Array | None = None) -> jax.Array:
        return jnp.exp(-((view.distances(rows, others) / width) ** 2))

    return _uncertain_gain(view, kernel, key)


def local_herding(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """(1 - margin) x gain in coverage so weighted, the kernel as wide as the pool is sparse at both points.

    k_ij = exp(-d_ij^2 / (s_i s_j)), where s is the mean distance to the nearest neighbours in the pool; `uherd_s`.
    """
    view = observation.whole_pool
    spread = jnp.maximum(view.geometry.local_density, 1e-6)

    def kernel(rows: jax.Array, others: jax.Array | None = None) -> jax.Array:
        there = spread if others is None else spread[others]
        return jnp.exp(-(view.distances(rows, others) ** 2) / (spread[rows, None] * there))

    return _uncertain_gain(view, kernel, key)


def typical_herding(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Product of local herding and typical uncertainty; `prod_st`."""
    return local_herding(observation, key) * features.uncertain_typicality(observation.candidates)


def chord_herding(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """(1 - margin) x gain in coverage so weighted, on latents of unit norm; `herd_chord`.

    The kernel is 1.4 times as wide as the mean distance to the nearest label.
    """
    view = observation.whole_pool
    closest = jnp.max(jnp.where(view.chosen.mask[:, None], view.cosines(view.chosen.rows), -1.0), 0)
    width = CHORD_REACH * _mean(view, jnp.sqrt(jnp.maximum(2.0 - 2.0 * closest, 0.0)))
    return _uncertain_gain(view, _on_chords(view, width), key)


def _mean(view: PoolView, values: jax.Array) -> jax.Array:
    """Mean of `values` [P] over the pool: []."""
    return jnp.sum(jnp.where(view.task.pool_mask, values, 0.0)) / jnp.sum(view.task.pool_mask)


def _on_chords(view: PoolView, width: jax.Array) -> Kernel:
    """exp(-c^2 / width^2), where c is the distance between latents of unit norm."""
    scale = 2.0 / width**2

    def kernel(rows: jax.Array, others: jax.Array | None = None) -> jax.Array:
        return jnp.exp(scale * (view.cosines(rows, others) - 1.0))

    return kernel


def _gain(view: PoolView, kernel: Kernel, weights: jax.Array, key: chex.PRNGKey) -> jax.Array:
    """G of every candidate: [K]; `weights` [P]. The key draws anchors in large pools."""
    covered = jnp.max(jnp.where(view.chosen.mask[:, None], kernel(view.chosen.rows), 0.0), 0)

    def term(rows: jax.Array, others: jax.Array | None) -> jax.Array:
        weight, before = (weights, covered) if others is None else (weights[others], covered[others])
        return weight * jnp.maximum(kernel(rows, others) - before, 0.0)

    own = weights[view.rows] * (1.0 - covered[view.rows])
    return mean_over_pool(view, term, own, key)


def _uncertain_gain(view: PoolView, kernel: Kernel, key: chex.PRNGKey) -> jax.Array:
    """u_i G_i with weights u = 1 - margin: [K]."""
    unsure = 1.0 - lead(jax.nn.softmax(view.logits))
    return unsure[view.rows] * _gain(view, kernel, unsure, key)


def _uherding(view: PoolView, logits: jax.Array, key: chex.PRNGKey) -> jax.Array:
    """UHerding by the uncertainties of `logits` [P, C]; while there is no label, every point is as uncertain."""
    started = jnp.any(view.known)
    unsure = jnp.where(view.unlabelled, 1.0 - lead(jax.nn.softmax(logits)), 0.0)
    return _gain(view, _on_chords(view, _smallest_chord(view)), jnp.where(started, unsure, 1.0), key)


def _smallest_chord(view: PoolView) -> jax.Array:
    """Smallest positive chord between two labelled points; 1 while there is none. Pending points have no say: []."""
    rows = view.chosen.rows
    squared = 2.0 - 2.0 * view.cosines(rows, rows)
    pairs = view.known & view.known[:, None] & (squared > SAME_POINT)
    smallest = jnp.min(jnp.where(pairs, squared, jnp.inf))
    return jnp.where(jnp.isfinite(smallest), jnp.sqrt(smallest), 1.0)
