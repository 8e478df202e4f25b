"""A trained policy as one object: its parameters, and all that is needed to use it again."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal.config import Config
from jaxal.files import write_json
from jaxal.policies import LEARNERS, checkpoint
from jaxal.report.asked import Asked, begin, read_config


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
        begin(folder, Asked("jaxal.train", self.trained_on[0], self.config, self.trained_on))
        checkpoint.save(folder / "policy", {self.name: self.params})
        write_json(folder / "training.json", self.report)
        return folder


def load_policy(folder: Path | str) -> Policy:
    """What `Policy.save` or `jaxal run` wrote.

    Raises:
      ValueError, CheckpointError: one line, when it is not there, or damaged.
    """
    folder = Path(folder)
    asked = read_config(folder)
    found = checkpoint.shapes(folder / "policy")
    name = next((name for name in LEARNERS if name in found), None)
    if name is None:
        raise ValueError(f"{folder}: holds no policy of {' or '.join(LEARNERS)}")
    params = checkpoint.load(folder / "policy", {name: found[name]})[name]
    told = folder / "training.json"
    report = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    return Policy(name, jax.tree.map(np.asarray, params), asked.config, asked.train_on or (asked.dataset,), report)
