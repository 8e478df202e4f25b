"""What a learner is: how a policy is trained for every seed, and what its parameters look like."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import chex

from jaxal.config import Config
from jaxal.mdp.environment import Environment
from jaxal.tasks.banks import Sources


class Progress(Protocol):
    """Who is told how far a long task is."""

    def __call__(self, done: int, total: int, note: str, /) -> None:
        """So many steps of so many are done."""
        ...


class Hooks(NamedTuple):
    """What the caller does while a policy is trained. A snapshot is a pytree of arrays, opaque to the caller."""

    progress: Progress = lambda done, total, note: None
    resume: Callable[[Any], Any | None] = lambda like: None
    """given the shapes of a snapshot, one to go on from, or None to begin"""
    save: Callable[[int, Any], None] = lambda done, snapshot: None
    """called with the number of iterations done and a snapshot, after every iteration"""


NO_HOOKS = Hooks()


class Learned(NamedTuple):
    """What was learned."""

    params: Any  # every leaf with a leading seed axis
    report: dict[str, Any]  # of the training, as JSON has it


class Learn(Protocol):
    """How a policy is trained."""

    def __call__(
        self, config: Config, environment: Environment, sources: Sequence[Sources], keys: chex.PRNGKey, hooks: Hooks
    ) -> Learned:
        """Trains one policy a seed, on what its lane has in `sources`; consumes the keys [seeds]."""
        ...


class Shapes(Protocol):
    """What parameters look like."""

    def __call__(self, config: Config, classes: int, seeds: int) -> Any:
        """Shapes and dtypes of `Learned.params`, for data of so many classes."""
        ...


class Memory(Protocol):
    """What training holds for long."""

    def __call__(self, config: Config, classes: int) -> int:
        """Bytes that one seed keeps beside its tasks."""
        ...


class Learner(NamedTuple):
    """A way to train a policy."""

    learn: Learn
    shapes: Shapes
    memory: Memory = lambda config, classes: 0
