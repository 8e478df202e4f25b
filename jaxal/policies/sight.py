"""What the counterfactual policy sees of a state: pool features, the utilities of hand-written rules, and a summary.

Every feature comes twice: as it is, and standardised over the candidates. The rules are among the features, since
different rules fail on different data, and which to trust where is what can be learned.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp.episode import Utility
from jaxal.mdp.look import L2, Look
from jaxal.mdp.observation import Observation, standardise
from jaxal.mdp.pool_features import POOL_FEATURES, features_of
from jaxal.mdp.summaries import SUMMARIES, summary_of
from jaxal.policies import hand_written, herding, information


def bait(observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """`information.bait` with the default probe's l2."""
    return information.bait(jnp.float32(L2), observation, key)


RULES: dict[str, Utility] = {
    "uherding": herding.uherding,
    "chord_herding": herding.chord_herding,
    "reach_herding": herding.reach_herding,
    "local_herding": herding.local_herding,
    "typical_herding": herding.typical_herding,
    "bait": bait,
}
"""Hand-written strategies whose logarithms are features; they propose candidates and visit states, too."""

PROPOSERS: dict[str, Utility] = {
    "margin": hand_written.margin,
    "entropy": hand_written.entropy,
    "least_confidence": hand_written.least_confidence,
    "typicality": hand_written.typicality,
    "typical_uncertainty": hand_written.typical_uncertainty,
    **RULES,
}
"""Strategies that propose candidates and visit states in training."""


LEAST = 1e-6  # utility of a rule that is told from none


class Sight(NamedTuple):
    """What is seen of a state with K candidates."""

    features: jax.Array  # [K, F]
    standardised: jax.Array  # [K, F]
    summary: jax.Array  # [S]


class Names(NamedTuple):
    """What is looked at, by name."""

    features: tuple[str, ...] = tuple(POOL_FEATURES)
    rules: tuple[str, ...] = tuple(RULES)
    summaries: tuple[str, ...] = tuple(SUMMARIES)

    @property
    def size(self) -> int:
        """F."""
        return len(self.features) + len(self.rules)


def see(names: Names, observation: Observation, key: chex.PRNGKey) -> Sight:
    """Looks at a state. The key draws anchors for the rules in large pools."""
    look = Look(observation)
    own = features_of(names.features, look)
    keys = jax.random.split(key, max(len(names.rules), 1))
    utilities = [RULES[name](observation, each) for name, each in zip(names.rules, keys, strict=False)]
    logs = [jnp.where(look.mask, jnp.log(jnp.maximum(jnp.nan_to_num(u), LEAST)), 0.0) for u in utilities]
    features = jnp.concatenate([own, *(each[:, None] for each in logs)], -1)
    return Sight(features, standardise(features, look.mask), summary_of(names.summaries, look))
