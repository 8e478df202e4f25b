"""Hand-written query strategies, controls, and the learned policies, all with one signature.

A strategy scores the candidates of an observation; the highest scores are labelled. `params` is whatever the strategy
carries: network parameters for the learned ones, a clustering for TypiClust, nothing for most. Adding a strategy is a
function and a line in `STRATEGIES`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp import observation as features
from jaxal.mdp.observation import Observation, Scores
from jaxal.policies.typiclust import typiclust


class Strategy(NamedTuple):
    """A way to choose.

    score: (params, observation, key) -> [K].
    sequential: with several labels a step, whether each pick is made in view of the picks before it; such strategies
      are defined so. The others take the N highest.
    kind: "hand-written", "control" or "learned"; only the first compete for "best hand-written".
    """

    score: Callable[[Any, Observation, chex.PRNGKey], Scores]
    sequential: bool = False
    kind: str = "hand-written"


def random(params: Any, o: Observation, key: chex.PRNGKey) -> Scores:
    """Uniformly at random."""
    del params
    return jax.random.uniform(key, o.mask.shape)


def margin(params: Any, o: Observation, key: chex.PRNGKey) -> Scores:
    """Smallest difference between the two most probable classes (Scheffer et al. 2001)."""
    del params, key
    return -features.margin(o.candidates)


def entropy(params: Any, o: Observation, key: chex.PRNGKey) -> Scores:
    """Largest entropy of the class probabilities (Shannon 1948)."""
    del params, key
    return features.entropy(o.candidates)


def least_confidence(params: Any, o: Observation, key: chex.PRNGKey) -> Scores:
    """Smallest probability of the predicted class (Lewis and Gale 1994): the paper's "uncertainty sampling"."""
    del params, key
    return -features.score(o.candidates)


def average_confidence(params: Any, o: Observation, key: chex.PRNGKey) -> Scores:
    """Largest mean confidence over the classes (Esuli and Sebastiani 2009), from one-vs-rest probabilities.

    The one-vs-rest probability of a class is the sigmoid of its logit. The mean of softmax probabilities, which modAL
    takes, is 1 / C for every point, so that rounding decides; so it is here with two classes, whose logits are each
    other's negative.
    """
    del params, key
    valid = jnp.isfinite(o.candidates.logits)
    return jnp.sum(jnp.where(valid, jax.nn.sigmoid(o.candidates.logits), 0.0), -1) / jnp.sum(valid, -1)


def k_center(params: Any, o: Observation, key: chex.PRNGKey) -> Scores:
    """Farthest from its nearest labelled point: the greedy coreset (Sener and Savarese 2018)."""
    del params, key
    return o.candidates.nearest_labelled


def typicality(params: Any, o: Observation, key: chex.PRNGKey) -> Scores:
    """Far from the labelled points and near to other ones: nearest labelled distance / local density."""
    del params, key
    return o.candidates.nearest_labelled / jnp.maximum(o.candidates.local_density, 1e-6)


def balanced_oracle(params: jax.Array, o: Observation, key: chex.PRNGKey) -> Scores:
    """Cheats: draws at random from the class with the fewest labels, by the true classes `params` [P] of the pool.

    The candidates must be the whole pool in its own order.
    """
    classes = o.candidates.logits.shape[-1]
    counts = jnp.zeros(classes).at[params].add(jnp.where(~o.mask & (params >= 0), 1.0, 0.0))
    return -counts[params] + jax.random.uniform(key, o.mask.shape)


def linear(params: jax.Array, o: Observation, key: chex.PRNGKey) -> Scores:
    """A linear function of the action features, `params` [F]."""
    del key
    return o.actions @ params


HAND_WRITTEN = {
    "random": Strategy(random),
    "margin": Strategy(margin),
    "entropy": Strategy(entropy),
    "least_confidence": Strategy(least_confidence),
    "average_confidence": Strategy(average_confidence),
    "k_center": Strategy(k_center, sequential=True),
    "typicality": Strategy(typicality, sequential=True),
    "typiclust": Strategy(typiclust),
}


def all_strategies(values: Callable[..., jax.Array], sequential: bool) -> dict[str, Strategy]:
    """Every strategy by name, the learned ones first.

    Args:
      values: the Q-network, (params, state, actions) -> [K].
      sequential: how the learned policies pick several labels a step.
    """

    def q(params: Any, o: Observation, key: chex.PRNGKey) -> Scores:
        del key
        return values(params, o.state, o.actions)

    return {
        "ddqn": Strategy(q, sequential, "learned"),
        "linear_cem": Strategy(linear, sequential, "control"),
        **HAND_WRITTEN,
        "untrained_q": Strategy(q, sequential, "control"),
        "balanced_oracle": Strategy(balanced_oracle, kind="control"),
    }
