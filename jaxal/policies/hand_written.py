"""Hand-written query strategies, and an oracle as a control.

Each is a function of an observation and a key, and a line in `policies.STRATEGIES`.
"""

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp import observation as features
from jaxal.mdp.observation import Candidates, Observation


def random(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Uniformly at random."""
    return jax.random.uniform(key, observation.mask.shape)


def margin(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Smallest difference between the two most probable classes (Scheffer et al. 2001)."""
    del key
    return _uncertainty(observation.candidates, -features.margin(observation.candidates))


def entropy(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Largest entropy of the class probabilities (Shannon 1948)."""
    del key
    return _uncertainty(observation.candidates, features.entropy(observation.candidates))


def least_confidence(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Smallest probability of the predicted class (Lewis and Gale 1994): the paper's "uncertainty sampling"."""
    del key
    return _uncertainty(observation.candidates, -features.score(observation.candidates))


def _uncertainty(candidates: Candidates, measure: jax.Array) -> jax.Array:
    """`measure` [K], or with two classes the closeness of the two logits, which all measures then rank alike.

    Near a probability of 1/2, where the choice is made, the entropy is so flat that float32 leaves it full of ties.
    """
    two = jnp.sum(jnp.isfinite(candidates.logits), -1) == 2
    return jnp.where(two, -features.lead(candidates.logits), measure)


def average_confidence(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Largest mean confidence over the classes (Esuli and Sebastiani 2009), from one-vs-rest probabilities.

    The one-vs-rest probability of a class is the sigmoid of its logit. The mean of softmax probabilities, which modAL
    takes, is 1 / C for every point, so that rounding decides; so it is here with two classes, whose logits are each
    other's negative.
    """
    del key
    valid = jnp.isfinite(observation.candidates.logits)
    return jnp.sum(jnp.where(valid, jax.nn.sigmoid(observation.candidates.logits), 0.0), -1) / jnp.sum(valid, -1)


def k_center(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Farthest from its nearest labelled point: the greedy coreset (Sener and Savarese 2018)."""
    del key
    return observation.candidates.nearest_labelled


def typicality(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Far from the labelled points and close to many others: nearest labelled distance / local density."""
    del key
    return features.typicality(observation.candidates)


def typical_uncertainty(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Uncertain and typical at once: typicality x (1 - margin)."""
    del key
    return features.uncertain_typicality(observation.candidates)


def power_margin(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Drawn without replacement with a probability proportional to 1 - margin (Kirsch et al. 2023).

    The highest of log(1 - margin) + Gumbel noise are such a draw.
    """
    unsure = jnp.maximum(1.0 - features.margin(observation.candidates), 1e-30)
    return jnp.log(unsure) + jax.random.gumbel(key, unsure.shape)


def balanced_oracle(params: jax.Array, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Cheats: draws at random from the class with the fewest labels, by the true classes `params` [P] of the pool.

    The candidates must be the whole pool in its own order.
    """
    classes = observation.candidates.logits.shape[-1]
    counts = jnp.zeros(classes).at[params].add(jnp.where(~observation.mask & (params >= 0), 1.0, 0.0))
    return -counts[params] + jax.random.uniform(key, observation.mask.shape)
