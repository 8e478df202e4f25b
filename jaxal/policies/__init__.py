"""What chooses. A new strategy is a function and a line in `STRATEGIES`; a learned one has a line in `LEARNERS` too."""

from collections.abc import Sequence
from typing import Any

import chex
import jax

from jaxal.mdp.observation import Observation
from jaxal.policies import (
    cem,
    clustering,
    gain_training,
    gradients,
    hand_written,
    herding,
    information,
    oracles,
    pretrained,
    train,
    typiclust,
)
from jaxal.policies.ddqn import agent_for
from jaxal.policies.gain_network import judged, judging
from jaxal.policies.learner import Learner
from jaxal.policies.strategy import ParametricUtility, Setting, Strategy, plain
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


def _gains(setting: Setting) -> Any:
    return judging(setting.config.counterfactual, gain_training.NAMES, setting.learned)


def _oracle(utility: ParametricUtility, label: str, colour: str) -> Strategy:
    return Strategy(
        utility,
        kind="control",
        label=f"{label} (cheats)",
        sequential=True,
        cheats=True,
        refits=True,
        prepare=information.prepare_l2,
        colour=colour,
    )


STRATEGIES: Registry[Strategy] = Registry(
    "strategy",
    {
        "ddqn": Strategy(
            q_values,
            kind="learned",
            label=lambda config: config.agent.label,
            sequential=None,
            prepare=_trained,
            colour="#D55E00",
            about="a double deep Q-network, trained for the run (paper, section 3.2)",
        ),
        "counterfactual": Strategy(
            judged,
            over_pool=True,
            kind="learned",
            label="learned",
            sequential=None,
            prepare=_gains,
            colour="#B22222",
            about="a function that predicts what a label would bring, trained for the run on exact gains",
        ),
        "pretrained": Strategy(
            judged,
            over_pool=True,
            kind="learned",
            label="pretrained",
            sequential=True,
            prepare=lambda setting: pretrained.named(setting.config.evaluation.pretrained).judge,
            colour="#D62728",
            about="the policy that comes with the package, trained on other data sets (`jaxal card`)",
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
        "typical_uncertainty": plain(hand_written.typical_uncertainty, sequential=True, colour="#882255"),
        "power_margin": plain(hand_written.power_margin, colour="#7570B3"),
        "typiclust": Strategy(typiclust.typiclust, over_pool=True, prepare=typiclust.prepare, colour="#7F7F2A"),
        "tcm": Strategy(typiclust.tcm, label="TCM", over_pool=True, prepare=typiclust.prepare, colour="#66A61E"),
        "prob_cover": Strategy(
            clustering.prob_cover,
            over_pool=True,
            label="ProbCover",
            sequential=True,
            prepare=clustering.prepare_balls,
            colour="#E7298A",
        ),
        "cluster_margin": Strategy(
            clustering.cluster_margin, over_pool=True, prepare=clustering.prepare_clusters, colour="#A6761D"
        ),
        "badge": plain(gradients.badge, over_pool=True, label="BADGE", sequential=True, colour="#1B9E77"),
        "bald": Strategy(
            information.bald, label="BALD", over_pool=True, prepare=information.prepare_l2, colour="#999933"
        ),
        "bait": Strategy(
            information.bait,
            label="BAIT",
            sequential=True,
            over_pool=True,
            prepare=information.prepare_l2,
            colour="#6699CC",
        ),
        "max_herding": plain(
            herding.max_herding, over_pool=True, label="MaxHerding", sequential=True, colour="#117733"
        ),
        "uherding": plain(herding.uherding, over_pool=True, label="UHerding", sequential=True, colour="#44AA99"),
        "uherding_t": Strategy(
            herding.uherding_t,
            over_pool=True,
            label="UHerding, calibrated",
            sequential=True,
            prepare=information.prepare_l2,
            colour="#88CCEE",
        ),
        "reach_herding": plain(herding.reach_herding, over_pool=True, sequential=True, colour="#DDCC77"),
        "local_herding": plain(herding.local_herding, over_pool=True, sequential=True, colour="#CC6677"),
        "typical_herding": plain(herding.typical_herding, over_pool=True, sequential=True, colour="#661100"),
        "chord_herding": plain(herding.chord_herding, over_pool=True, sequential=True, colour="#E69F00"),
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
        "greedy_oracle": _oracle(oracles.greedy_oracle, "greedy oracle", "#333333"),
        "greedy_oracle_accuracy": _oracle(
            oracles.greedy_oracle_accuracy, "greedy oracle, accuracy (cheats)", "#666666"
        ),
        "best_of_strategies": _oracle(oracles.best_of_strategies, "best of strategies", "#999999"),
    },
    lambda given: given if isinstance(given, Strategy) else plain(given),
)

LEARNERS: Registry[Learner] = Registry(
    "learner",
    {
        "ddqn": Learner(train.learn, train.shapes, train.memory),
        "linear_cem": Learner(cem.learn, cem.shapes),
        "counterfactual": Learner(gain_training.learn, gain_training.shapes, gain_training.memory),
    },
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
