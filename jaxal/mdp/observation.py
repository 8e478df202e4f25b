"""What the agent sees: a state vector, and a feature vector for each candidate.

Both are lists of named features; a feature is a small pure function, found by the name in the config. Adding one is a
function and a line in its registry.
"""

from typing import NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp.pool import PoolView
from jaxal.registry import Registry

CLIP = 6.0  # standardised features beyond this many deviations say no more


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

    state_vector: jax.Array  # [.]
    features: jax.Array  # [K, F] action features, standardised where the config says so
    candidates: Candidates
    mask: jax.Array  # [K] bool, False: may not be chosen (already labelled, padding, or none)
    time: jax.Array  # [] int32 steps done
    pool: PoolView | None = None  # None where an episode is recorded

    @property
    def whole_pool(self) -> PoolView:
        """`pool`, for strategies that need it."""
        assert self.pool is not None, "this strategy looks at the whole pool; a recorded observation has none"
        return self.pool


class ActionFeature(Protocol):
    """A feature of candidates."""

    def __call__(self, candidates: Candidates, /) -> jax.Array:
        """One number for each candidate: [K] float32."""
        ...


class StateFeature(Protocol):
    """A part of the state vector."""

    def __call__(self, view: StateView, /) -> jax.Array:
        """Numbers [.] float32, as many for every state."""
        ...


def score(candidates: Candidates) -> jax.Array:
    """Probability of the predicted class (paper, section 3.1.2)."""
    return jnp.max(candidates.probabilities, -1)


def mean_distance_labelled(candidates: Candidates) -> jax.Array:
    """Mean distance to the labelled points (paper, section 3.1.2)."""
    return candidates.mean_distance_labelled


def mean_distance_unlabelled(candidates: Candidates) -> jax.Array:
    """Mean distance to the unlabelled points (paper, section 3.1.2)."""
    return candidates.mean_distance_unlabelled


def nearest_labelled(candidates: Candidates) -> jax.Array:
    """Distance to the nearest labelled point."""
    return candidates.nearest_labelled


def local_density(candidates: Candidates) -> jax.Array:
    """Mean distance to the 10 nearest neighbours in the pool: small where it is dense."""
    return candidates.local_density


def class_frequency(candidates: Candidates) -> jax.Array:
    """Share of the predicted class among the labels so far."""
    return candidates.class_frequency


def lead(values: jax.Array) -> jax.Array:
    """By how much the largest of each row of `values` [..., C] exceeds the second largest: [...]."""
    best = jnp.arange(values.shape[-1]) == jnp.argmax(values, -1)[..., None]  # a tenth of a top-k's time on a CPU
    return jnp.max(values, -1) - jnp.max(jnp.where(best, -jnp.inf, values), -1)


def margin(candidates: Candidates) -> jax.Array:
    """Difference between the two largest class probabilities (Scheffer et al. 2001)."""
    return lead(candidates.probabilities)


def entropy(candidates: Candidates) -> jax.Array:
    """Shannon entropy of the class probabilities, in nats."""
    p = candidates.probabilities
    return -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.maximum(p, 1e-38)), 0.0), -1)


def typicality(candidates: Candidates) -> jax.Array:
    """Far from the labelled points and close to many others: nearest labelled distance / local density.

    While nothing is labelled every point is as far, and the densest comes first.
    """
    far = jnp.where(jnp.isfinite(candidates.nearest_labelled), candidates.nearest_labelled, 1.0)
    return far / jnp.maximum(candidates.local_density, 1e-6)


def log_typicality(candidates: Candidates) -> jax.Array:
    """Logarithm of the typicality."""
    return jnp.log(jnp.maximum(typicality(candidates), 1e-6))


def uncertain_typicality(candidates: Candidates) -> jax.Array:
    """Typicality x (1 - margin)."""
    return typicality(candidates) * (1.0 - margin(candidates))


def class_0_probability(candidates: Candidates) -> jax.Array:
    """Probability of class 0, LAL-RL's score (Konyushkova et al. 2018)."""
    return candidates.probabilities[:, 0]


ACTION_FEATURES: Registry[ActionFeature] = Registry(
    "action feature",
    {
        "score": score,
        "mean_distance_labelled": mean_distance_labelled,
        "mean_distance_unlabelled": mean_distance_unlabelled,
        "margin": margin,
        "entropy": entropy,
        "nearest_labelled": nearest_labelled,
        "local_density": local_density,
        "class_frequency": class_frequency,
        "typicality": typicality,
        "log_typicality": log_typicality,
        "uncertain_typicality": uncertain_typicality,
        "class_0_probability": class_0_probability,
    },
)


def top_probability(view: StateView) -> jax.Array:
    """Probabilities of the predicted classes, sorted: [S]; its size does not depend on the number of classes."""
    return jnp.sort(jnp.max(jax.nn.softmax(view.logits), -1))


def all_probabilities(view: StateView) -> jax.Array:
    """Probabilities of each class, sorted class by class: [S C]."""
    return jnp.sort(jax.nn.softmax(view.logits), 0).T.reshape(-1)


def sorted_class_0_probability(view: StateView) -> jax.Array:
    """Probabilities of class 0, sorted: [S]; LAL-RL's state (Konyushkova et al. 2018)."""
    return jnp.sort(jax.nn.softmax(view.logits)[:, 0])


def progress(view: StateView) -> jax.Array:
    """Share of the episode's steps that are done: [1]."""
    return view.progress[None]


STATE_FEATURES: Registry[StateFeature] = Registry(
    "state feature",
    {
        "top_probability": top_probability,
        "all_probabilities": all_probabilities,
        "class_0_probability": sorted_class_0_probability,
        "progress": progress,
    },
)


def state_vector(names: tuple[str, ...], view: StateView) -> jax.Array:
    """The named features, concatenated."""
    parts = [STATE_FEATURES[name](view) for name in names]
    chex.assert_rank(parts, 1, custom_message=f"state features {names}")
    return jnp.concatenate(parts)


def state_size(names: tuple[str, ...], set_aside: int, classes: int) -> int:
    """Length of the state vector for so many set-aside rows and classes."""
    view = StateView(jnp.zeros((set_aside, classes)), jnp.zeros(()))
    return jax.eval_shape(lambda v: state_vector(names, v), view).shape[0]


def action_features(names: tuple[str, ...], candidates: Candidates, mask: jax.Array, standardised: bool) -> jax.Array:
    """The named features of the candidates: [K, F]; zero where `mask` [K] is False."""
    columns = [ACTION_FEATURES[name](candidates) for name in names]
    chex.assert_equal_shape([mask, *columns], custom_message=f"action features {names}, one number for each candidate")
    values = jnp.stack(columns, -1)
    values = jnp.where(mask[:, None], values, 0.0)
    return standardise(values, mask) if standardised else values


def standardise(values: jax.Array, mask: jax.Array) -> jax.Array:
    """`values` [K, F] centred and scaled over the candidates where `mask` [K] holds, clipped at +-`CLIP`."""
    weights = mask[:, None] / jnp.maximum(jnp.sum(mask), 1)
    centred = values - jnp.sum(weights * values, 0)
    deviation = jnp.sqrt(jnp.sum(weights * centred**2, 0))
    return jnp.where(mask[:, None], jnp.clip(centred / jnp.maximum(deviation, 1e-6), -CLIP, CLIP), 0.0)
