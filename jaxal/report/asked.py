"""What a run was asked for, and its config.json."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from jaxal.config import Config, SettingError, from_dict
from jaxal.files import write_json


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a command was asked for, as config.json holds it."""

    command: str
    dataset: str
    config: Config
    train_on: tuple[str, ...] = ()
    preset: str = ""
    policy: str = ""  # the folder of the policy, where one was given
    plugins: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """By name, such as train.iterations, what decides the results."""
        parts = dataclasses.asdict(self.config)
        named = {f"{part}.{name}": value for part, fields in parts.items() for name, value in fields.items()}
        return {"policy": self.policy, "dataset": self.dataset, "train_on": self.train_on, **named}


def begin(folder: Path, asked: Asked) -> None:
    """Makes the folder and its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", dataclasses.asdict(asked))


def read_config(folder: Path) -> Asked:
    """What `begin` wrote.

    Raises:
      ValueError: one line, when it is not there or was not written by it.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        config = from_dict(content.pop("config"))
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return Asked(config=config, **given)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: no such file; give a folder that `jaxal run` wrote") from None
    except (ValueError, SettingError, KeyError, TypeError, AttributeError) as error:
        why = f" ({error})" if isinstance(error, SettingError) or type(error) is ValueError else ""
        raise ValueError(f"{path}: not what `jaxal run` writes{why}; give a folder that it wrote") from None
