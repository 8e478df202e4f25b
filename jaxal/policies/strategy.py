"""What a strategy is: a utility for every candidate, what it prepares before an episode, and how it is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import chex
import jax
import numpy as np

from jaxal.config import Config
from jaxal.mdp.episode import Utility
from jaxal.mdp.observation import Observation

Kind = Literal["hand-written", "control", "learned"]


class ParametricUtility(Protocol):
    """What ranks candidates, by something that was prepared or learned."""

    def __call__(self, params: Any, observation: Observation, key: chex.PRNGKey, /) -> jax.Array:
        """How useful the label of each candidate would be: [K]; the caller masks those that may not be chosen."""
        ...


class Setting(NamedTuple):
    """What a strategy may prepare itself from, on the host: one seed's pool, and the episodes that are about to be."""

    config: Config
    seed: int  # its number
    classes: int  # C
    latents: np.ndarray  # [p, D] float32 of the pool, standardised
    labels: np.ndarray  # [P] int32 true classes of the pool, -1 on padding; for those that cheat
    labels_before: np.ndarray  # [T] labels at the start of each step
    learned: Any  # what the strategy's learner found for this seed; None for those that do not learn


@dataclass(frozen=True)
class Strategy:
    """A way to choose.

    utility: (params, observation, key) -> [K], the highest is labelled first.
    kind: only "hand-written" ones compete for the best hand-written; "control" shows what another owes its success to.
    label: how it is called in pictures and tables, which may depend on the config; by default its name, with spaces.
    sequential: with several labels a step, whether each pick is made in view of the picks before it, as some are
      defined. The others take the N highest. None: as `environment.batch_selection` says.
    cheats: it sees labels that it has not paid for, and is left out of every comparison.
    over_pool: it compares every candidate with the whole pool, and so takes long where that is large.
    refits: it refits the classifier for each candidate, which only `linear_probe` with the solver `newton` can do.
    prepare: (setting) -> params, on the host, for each seed; None: there are none.
    colour: in pictures, #RRGGBB; "" for one that nobody else has.
    about: a line that says what it does; by default the first sentence of the utility's docstring.
    """

    utility: ParametricUtility
    kind: Kind = "hand-written"
    label: str | Callable[[Config], str] = ""
    sequential: bool | None = False
    cheats: bool = False
    over_pool: bool = False
    refits: bool = False
    prepare: Callable[[Setting], Any] | None = None
    colour: str = ""
    about: str = ""

    def picks_in_sequence(self, config: Config) -> bool:
        """`sequential`, decided."""
        return config.environment.batch_selection == "sequential" if self.sequential is None else self.sequential

    def called(self, config: Config) -> str:
        """`label`, decided; empty where there is none."""
        return self.label if isinstance(self.label, str) else self.label(config)


def plain(utility: Utility, **shown: Any) -> Strategy:
    """A strategy without parameters; `shown` are fields of `Strategy`."""

    def without_params(params: Any, observation: Observation, key: chex.PRNGKey) -> jax.Array:
        return utility(observation, key)

    without_params.__doc__ = utility.__doc__
    return Strategy(without_params, **shown)
