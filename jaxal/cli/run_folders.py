"""The folder of a run: which one a new run gets, and which one is resumed."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from jaxal.report.asked import Asked, read_config


def new(out: Path | None, name: str) -> Path:
    """A folder that holds nothing yet; it is not made.

    Args:
      out: the one that was asked for; None: runs/`name`, with the first number after it that is free.
      name: of the run.

    Raises:
      ValueError: when `out` holds something, or cannot be a folder.
    """
    if out is None:
        return next(folder for folder in _numbered(name) if _free(folder))
    if (out / "config.json").is_file():
        raise ValueError(f"{out} holds a run already; give another folder, or --resume to go on with an unfinished run")
    if not _free(out):
        raise ValueError(f"{out} {'holds something else' if out.is_dir() else 'is not a folder'}; give another")
    if above := next((parent for parent in out.parents if parent.exists() and not parent.is_dir()), None):
        raise ValueError(f"{out}: {above} is not a folder; give another")
    return out


def to_resume(out: Path | None, name: str, asked: Asked) -> Path:
    """The folder of the run that was begun with the same settings: see `new`.

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


def _numbered(name: str) -> Iterator[Path]:
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run"
    return (Path("runs") / (plain + (f"-{i}" if i > 1 else "")) for i in itertools.count(1))


def _free(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _difference(before: Asked, asked: Asked) -> str:
    """The first setting that differs, in words; empty: none does."""
    for name, value in asked.settings.items():
        if before.settings[name] != value:
            return f"{name} = {before.settings[name]}, not {value}"
    return ""
