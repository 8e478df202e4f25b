"""What chooses: the one object by which a project knows a strategy and its classifier."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:  # JAX is imported late
    from jaxal.pools import PreparedPool, Survey
    from jaxal.suggestion import Suggestion

REASONS = ("unsure", "unlike anything labelled", "many like it")  # as `Suggestion.reasons` has them


class Suggest(Protocol):
    """How the next images are chosen."""

    def __call__(
        self, pool: "PreparedPool", labels: np.ndarray, n: int, /, *, classes: int, pending: np.ndarray, key: Any
    ) -> "Suggestion":
        """See `jaxal.suggest`."""
        ...


class Prepare(Protocol):
    """How a pool is prepared for it."""

    def __call__(self, latents: np.ndarray, /, *, survey: "Survey | None") -> "PreparedPool":
        """See `jaxal.prepare_pool`."""
        ...


class Chooser(NamedTuple):
    """A strategy with its classifier."""

    name: str  # as the log keeps it
    classifier: str  # what it is, whatever it is fitted to
    suggest: Suggest
    prepare: Prepare


class ChooserOf(Protocol):
    """How a strategy is found."""

    def __call__(self, strategy: str, /) -> Chooser:
        """The chooser of a strategy's name, or of the folder of a saved policy."""
        ...


def chooser_for(strategy: str) -> Chooser:
    """A strategy by its name, or by the folder that its policy was saved in.

    Raises:
      ValueError: one line, for a name that there is not, a strategy that cannot be used, a folder without a policy.
    """
    from functools import partial

    from jaxal import pools, suggestion
    from jaxal.policies import STRATEGIES
    from jaxal.policies.policy import load_policy
    from jaxal.presets import default

    if strategy not in STRATEGIES and Path(strategy).is_dir():
        policy = load_policy(strategy)
        name, config, chosen = f"{policy.name} of {Path(strategy).resolve()}", policy.config, policy
    else:
        suggestion.require_usable(strategy)
        name, config, chosen = strategy, default(), strategy
    return Chooser(
        name=name,
        classifier=f"{config.environment.distance} {config.probe}",
        suggest=partial(suggestion.suggest, strategy=chosen),
        prepare=partial(pools.prepare_pool, config=config),
    )


def why(reasons: np.ndarray) -> str:
    """The strongest of an image's reasons [3], in words."""
    return REASONS[int(np.argmax(reasons))]
