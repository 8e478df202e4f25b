"""What a run was asked for, and its config.json."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxal.config import Config, SettingError
from jaxal.files import sweep, write_json
from jaxal.report.reading import read_json
from jaxal.seals import fingerprint

RENAMED = {("agent", "batch_size"): "minibatch", ("finetune", "batch_size"): "minibatch"}
"""(part, name) of settings in run folders of version 0.1.0 -> the name today."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a command was asked for, as config.json holds it.

    policy: the folder of the policy, where one was given.
    fingerprints: of what the results depend on beside the settings: data sets by their names, a policy by its folder.
    code: the version of jaxal, of the user's own parts, and of the libraries that compute. In folders of version 0.1.0
      it is empty, and what they hold has no seals.
    """

    command: str
    dataset: str
    config: Config
    train_on: tuple[str, ...] = ()
    preset: str = ""
    policy: str = ""
    plugins: tuple[str, ...] = ()
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    code: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """By name, such as train.iterations, what decides the results."""
        parts = dataclasses.asdict(self.config)
        named = {f"{part}.{name}": value for part, fields in parts.items() for name, value in fields.items()}
        return {"policy": self.policy, "dataset": self.dataset, "train_on": self.train_on, **named}


def begin(folder: Path, asked: Asked) -> None:
    """Makes the folder and its config.json; what a killed process may have left there is taken away."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    write_json(folder / "config.json", dataclasses.asdict(asked))


def read_config(folder: Path) -> Asked:
    """What `begin` wrote.

    Raises:
      ValueError: one line, when it is not there or was not written by it.
    """
    path = folder / "config.json"
    try:
        return read_json(path, Asked, unknown="forbid", repair=_todays_names)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: no such file; give a folder that `jaxal run` wrote") from None
    except (ValueError, SettingError) as error:
        raise ValueError(f"{path}: not what `jaxal run` writes ({error}); give a folder that it wrote") from None


def origin(folder: Path) -> str | None:
    """What stands for a run in the seals of all that it writes; None in folders of version 0.1.0, which have no seals.

    Raises:
      ValueError: see `read_config`.
    """
    return fingerprint((folder / "config.json").read_text(encoding="utf-8")) if read_config(folder).code else None


def _todays_names(content: Any) -> Any:
    """config.json with the settings of older versions under their names of today."""
    parts = content.get("config") if isinstance(content, dict) else None
    for (part, before), today in RENAMED.items():
        if isinstance(parts, dict) and isinstance(parts.get(part), dict) and before in parts[part]:
            parts[part][today] = parts[part].pop(before)
    return content
