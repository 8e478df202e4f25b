"""A trained policy as one object: its parameters, and all that is needed to use it again."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal.config import Config
from jaxal.files import write_json
from jaxal.policies import LEARNERS, checkpoint
from jaxal.report import provenance
from jaxal.report.asked import Asked, begin, origin, read_config
from jaxal.report.reading import read_json

MOST_CLASSES = 1000  # of the data of a policy, on which the size of some states depends


@dataclass(frozen=True)
class Policy:
    """A learned strategy, one for every seed.

    name: of the strategy and its learner, such as "ddqn".
    params: every leaf [seeds, ...].
    config: the settings that it was trained with.
    trained_on: names of those data sets.
    report: of the training.
    """

    name: str
    params: Any
    config: Config
    trained_on: tuple[str, ...]
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(jax.tree.leaves(self.params)[0])

    def save(self, folder: Path | str) -> Path:
        """Writes the policy into a folder, for `load_policy` and `jaxal evaluate --policy`; returns the folder.

        Raises:
          ValueError: one line, when the folder holds something else.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").is_file():
            raise ValueError(f"{folder} holds something else than a policy; give another folder")
        begin(folder, Asked("jaxal.train", self.trained_on[0], self.config, self.trained_on, code=provenance.code()))
        report = folder / "training.json"
        write_json(report, self.report)
        checkpoint.save(folder / "policy", {self.name: self.params}, str(origin(folder)), beside=[report])
        return folder


def load_policy(folder: Path | str) -> Policy:
    """What `Policy.save` or `jaxal run` wrote.

    Raises:
      ValueError, CheckpointError: one line, when it is not there, or damaged.
    """
    folder = Path(folder)
    asked, place, told = read_config(folder), folder / "policy", folder / "training.json"
    found = checkpoint.shapes(place)
    name = next((name for name in LEARNERS if name in found), None)
    if name is None:
        raise ValueError(f"{folder}: holds no policy of {' or '.join(LEARNERS)}")
    _check_size(place, name, found[name], asked.config)
    made_from = origin(folder)
    params = checkpoint.load(place, {name: found[name]}, made_from, beside=[told] if made_from else [])[name]
    checkpoint.require_finite(place, params)
    report = read_json(told, dict, unknown="allow") if told.is_file() else {}
    return Policy(name, jax.tree.map(np.asarray, params), asked.config, asked.train_on or (asked.dataset,), report)


def _check_size(place: Path, name: str, found: Any, config: Config) -> None:
    """That a checkpoint does not claim more numbers than a policy of these settings has, before any is read.

    Raises:
      CheckpointError: one line.
    """
    shapes = LEARNERS[name].shapes(config, MOST_CLASSES, config.evaluation.seeds)
    claimed, most = (sum(math.prod(x.shape) for x in jax.tree.leaves(tree)) for tree in (found, shapes))
    if claimed > most:
        raise checkpoint.CheckpointError(f"{place}: claims {claimed:,} numbers, where config.json allows {most:,}")
