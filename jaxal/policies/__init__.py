"""What chooses. A new strategy is a function and a line in `STRATEGIES`; a learned one has a line in `LEARNERS` too."""

from collections.abc import Sequence
from typing import Any

import chex
import jax

from jaxal.mdp.observation import Observation
from jaxal.policies import cem, hand_written, train, typiclust
from jaxal.policies.ddqn import agent_for
from jaxal.policies.learner import Learner
from jaxal.policies.strategy import Setting, Strategy, plain
from jaxal.registry import Registry
from jaxal.seeds import seed_key


def q_values(params: Any, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """Q-values; `params` is the network with its parameters, a `jax.tree_util.Partial`."""
    del key
    return params(observation.state_vector, observation.features)


def _trained(setting: Setting) -> Any:
    return jax.tree_util.Partial(agent_for(setting.config, setting.classes).values, setting.learned)


def _untrained(setting: Setting) -> Any:
    agent = agent_for(setting.config, setting.classes)
    return jax.tree_util.Partial(agent.values, agent.init(seed_key(setting.seed, "untrained_q")).params)


STRATEGIES: Registry[Strategy] = Registry(
    "strategy",
    {
        "ddqn": Strategy(
            q_values,
            kind="learned",
            label="learned (DDQN)",
            sequential=None,
            prepare=_trained,
            colour="#D55E00",
            about="a double deep Q-network, trained for the run (paper, section 3.2)",
        ),
        "linear_cem": Strategy(
            cem.linear,
            kind="control",
            label="linear CEM",
            sequential=None,
            prepare=lambda setting: setting.learned,
            colour="#B8860B",
            about="a linear policy on the same features, found by the cross-entropy method",
        ),
        "random": plain(hand_written.random, colour="#8A8A8A"),
        "margin": plain(hand_written.margin, colour="#0072B2"),
        "entropy": plain(hand_written.entropy, colour="#56B4E9"),
        "least_confidence": plain(hand_written.least_confidence, colour="#332288"),
        "average_confidence": plain(hand_written.average_confidence, colour="#AA4499"),
        "k_center": plain(hand_written.k_center, sequential=True, colour="#009E73"),
        "typicality": plain(hand_written.typicality, sequential=True, colour="#CC79A7"),
        "typiclust": Strategy(typiclust.typiclust, prepare=typiclust.prepare, colour="#7F7F2A"),
        "untrained_q": Strategy(
            q_values,
            kind="control",
            label="untrained Q",
            sequential=None,
            prepare=_untrained,
            colour="#555555",
            about="the Q-network before its first update",
        ),
        "balanced_oracle": Strategy(
            hand_written.balanced_oracle,
            kind="control",
            label="balanced oracle (cheats)",
            cheats=True,
            prepare=lambda setting: setting.labels,
            colour="#000000",
        ),
    },
    lambda given: given if isinstance(given, Strategy) else plain(given),
)

LEARNERS: Registry[Learner] = Registry(
    "learner", {"ddqn": Learner(train.learn, train.shapes, train.memory), "linear_cem": Learner(cem.learn, cem.shapes)}
)
"""How the strategies of the same names are trained."""


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """Names of strategies, each once, with all of them in the place of "all".

    Raises:
      UnknownNameError: for one that there is not.
    """
    listed = dict.fromkeys(each for name in names for each in (STRATEGIES if name == "all" else (name,)))
    for name in listed:
        STRATEGIES[name]
    return tuple(listed)
