"""What the agent sees: a state vector, and a feature vector for each candidate.

Both are lists of named features; a feature is a small pure function, found here by the name in the config. Adding one
is a function and a line in its registry.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

CLIP = 6.0  # standardised features beyond this many deviations say no more


Scores = jax.Array  # [K], higher is sooner labelled


class Candidates(NamedTuple):
    """Raw quantities of K candidates. Distances are in units of the pool's mean distance."""

    logits: jax.Array  # [K, C], -inf for classes that the task does not have
    mean_distance_labelled: jax.Array  # [K]
    mean_distance_unlabelled: jax.Array  # [K]
    nearest_labelled: jax.Array  # [K]
    local_density: jax.Array  # [K]
    class_frequency: jax.Array  # [K] share of the predicted class among the labels so far

    @property
    def probabilities(self) -> jax.Array:
        """[K, C]."""
        return jax.nn.softmax(self.logits)


class StateView(NamedTuple):
    """What the state vector is made from."""

    logits: jax.Array  # [S, C] of the set-aside rows
    progress: jax.Array  # [] share of the episode's steps that are done


class Observation(NamedTuple):
    """What a strategy decides on."""

    state: jax.Array  # [.] state vector
    actions: jax.Array  # [K, F] action features, standardised where the config says so
    candidates: Candidates
    mask: jax.Array  # [K] bool, False: may not be chosen (already labelled, or padding)
    time: jax.Array  # [] int32 steps done


def score(c: Candidates) -> jax.Array:
    """Probability of the predicted class (paper, section 3.1.2)."""
    return jnp.max(c.probabilities, -1)


def margin(c: Candidates) -> jax.Array:
    """Difference between the two largest class probabilities (Scheffer et al. 2001)."""
    p = c.probabilities
    best = jnp.arange(p.shape[-1]) == jnp.argmax(p, -1)[:, None]  # a tenth of the time of a top-k on a CPU
    return jnp.max(p, -1) - jnp.max(jnp.where(best, -jnp.inf, p), -1)


def entropy(c: Candidates) -> jax.Array:
    """Shannon entropy of the class probabilities, in nats."""
    p = c.probabilities
    return -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.maximum(p, 1e-38)), 0.0), -1)


def typicality(c: Candidates) -> jax.Array:
    """Far from the labelled points and near to other ones: nearest labelled distance / local density."""
    return c.nearest_labelled / jnp.maximum(c.local_density, 1e-6)


ACTION_FEATURES: dict[str, Callable[[Candidates], jax.Array]] = {
    "score": score,
    "mean_distance_labelled": lambda c: c.mean_distance_labelled,
    "mean_distance_unlabelled": lambda c: c.mean_distance_unlabelled,
    "margin": margin,
    "entropy": entropy,
    "nearest_labelled": lambda c: c.nearest_labelled,
    "local_density": lambda c: c.local_density,
    "class_frequency": lambda c: c.class_frequency,
    "typicality": typicality,
    "log_typicality": lambda c: jnp.log(jnp.maximum(typicality(c), 1e-6)),
    "uncertain_typicality": lambda c: typicality(c) * (1.0 - margin(c)),
    "class_0_probability": lambda c: c.probabilities[:, 0],
}


def top_probability(view: StateView) -> jax.Array:
    """Probabilities of the predicted classes, sorted: [S]; its size does not depend on the number of classes."""
    return jnp.sort(jnp.max(jax.nn.softmax(view.logits), -1))


def all_probabilities(view: StateView) -> jax.Array:
    """Probabilities of each class, sorted class by class: [S C]."""
    return jnp.sort(jax.nn.softmax(view.logits), 0).T.reshape(-1)


STATE_FEATURES: dict[str, Callable[[StateView], jax.Array]] = {
    "top_probability": top_probability,
    "all_probabilities": all_probabilities,
    "class_0_probability": lambda view: jnp.sort(jax.nn.softmax(view.logits)[:, 0]),
    "progress": lambda view: view.progress[None],
}


def state_vector(names: tuple[str, ...], view: StateView) -> jax.Array:
    """The named features, concatenated."""
    return jnp.concatenate([STATE_FEATURES[name](view) for name in names])


def state_size(names: tuple[str, ...], set_aside: int, classes: int) -> int:
    """Length of the state vector for so many set-aside rows and classes."""
    view = StateView(jnp.zeros((set_aside, classes)), jnp.zeros(()))
    return jax.eval_shape(lambda v: state_vector(names, v), view).shape[0]


def action_features(names: tuple[str, ...], c: Candidates, mask: jax.Array, standardised: bool) -> jax.Array:
    """The named features of the candidates: [K, F]; zero where `mask` [K] is False."""
    values = jnp.stack([ACTION_FEATURES[name](c) for name in names], -1)
    values = jnp.where(mask[:, None], values, 0.0)
    return standardise(values, mask) if standardised else values


def standardise(values: jax.Array, mask: jax.Array) -> jax.Array:
    """`values` [K, F] centred and scaled over the candidates where `mask` [K] holds, clipped at +-`CLIP`."""
    weights = mask[:, None] / jnp.maximum(jnp.sum(mask), 1)
    centred = values - jnp.sum(weights * values, 0)
    deviation = jnp.sqrt(jnp.sum(weights * centred**2, 0))
    return jnp.where(mask[:, None], jnp.clip(centred / jnp.maximum(deviation, 1e-6), -CLIP, CLIP), 0.0)
