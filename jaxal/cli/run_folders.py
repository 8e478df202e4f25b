"""The folder of a run: which one a new run gets, which one is gone on with, and its config.json."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxal.config import from_dict


def new(out: Path | None, name: str) -> Path:
    """A folder that holds nothing yet; it is not made.

    Args:
      out: the one that was asked for; None: runs/`name`, with the first number behind it that is free.
      name: of the run.

    Raises:
      ValueError: when `out` holds something, or cannot be a folder.
    """
    if out is None:
        return next(folder for folder in _numbered(name) if _free(folder))
    if (out / "config.json").is_file():
        raise ValueError(f"{out} holds a run already; give another folder, or --resume to go on with an unfinished run")
    if not _free(out):
        raise ValueError(f"{out} is there and {'holds something else' if out.is_dir() else 'no folder'}; give another")
    if above := next((parent for parent in out.parents if parent.exists() and not parent.is_dir()), None):
        raise ValueError(f"{out}: {above} is no folder; give another")
    return out


def to_resume(out: Path | None, name: str, asked: dict[str, Any]) -> Path:
    """The folder of the run that was begun with the settings `asked`: see `new`, and for `asked` `begin`.

    Raises:
      ValueError: when there is none, or it was begun with other settings.
    """
    if out is not None:
        if not (out / "config.json").is_file():
            raise ValueError(f"{out}: nothing to resume; leave out --resume to begin a run there")
        if difference := _difference(read_config(out), asked):
            raise ValueError(f"{out} was begun with {difference}; resume with the same flags")
        return out
    begun = [f for f in itertools.takewhile(Path.exists, _numbered(name)) if (f / "config.json").is_file()]
    unfinished = [folder for folder in begun if not (folder / "results.json").is_file()]
    differences = [_difference(read_config(folder), asked) for folder in unfinished]
    for folder, difference in zip(unfinished, differences, strict=True):
        if not difference:
            return folder
    if unfinished:
        raise ValueError(f"{unfinished[0]} was begun with {differences[0]}; resume with the same flags")
    first = next(_numbered(name))
    why = "is finished" if begun else "is not there"
    raise ValueError(f"nothing to resume: {first} {why}; leave out --resume, or name the run's folder with --out")


def begin(folder: Path, asked: dict[str, Any]) -> None:
    """Makes the folder and its config.json.

    Args:
      asked: the command, dataset, train_on and config as a dict; the policy, where one was given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", asked)


def read_config(folder: Path) -> dict[str, Any]:
    """What `begin` wrote.

    Raises:
      ValueError: one line, when it is not there or was not written by it.
    """
    path = folder / "config.json"
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
        from_dict(asked["config"])
        if not {"command", "dataset", "train_on"} <= asked.keys():
            raise KeyError
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: no such file; give a folder that `jaxal run` wrote") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f" ({error})" if type(error) is ValueError else ""
        raise ValueError(f"{path}: not what `jaxal run` writes{why}; give a folder that it wrote") from None
    return asked


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file in one move."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def _numbered(name: str) -> Iterator[Path]:
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run"
    return (Path("runs") / (plain + (f"-{i}" if i > 1 else "")) for i in itertools.count(1))


def _free(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _difference(before: dict[str, Any], asked: dict[str, Any]) -> str:
    """The first setting that differs, in words; empty: none does."""
    old, new = (_flat(json.loads(json.dumps(content))) for content in (before, asked))
    for where in dict.fromkeys((*new, *old)):
        if old.get(where) != new.get(where):
            return f"{where} = {old.get(where)}, not {new.get(where)}"
    return ""


def _flat(asked: dict[str, Any]) -> dict[str, Any]:
    """Settings by name, such as train.iterations."""
    settings = {f"{part}.{name}": value for part, fields in asked["config"].items() for name, value in fields.items()}
    return {**{name: asked.get(name) for name in ("policy", "dataset", "train_on")}, **settings}
