"""The folder of a run: which one a new run gets, which one is resumed, and that no two processes work in one."""

import fcntl
import itertools
import os
import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from jaxal.files import UNFINISHED, sweep
from jaxal.report.asked import Asked, begin, read_config

LOCK = ".lock"  # file in a run's folder that the process at work there has locked
MOST_NUMBERS = 100_000  # of folders with one name


class Taken(ValueError):
    """A folder in which another process is at work. Its message is one line."""


def look(out: Path | None, resume: bool) -> None:
    """What can be said of the folder that is asked for before a data set has been read.

    Raises:
      ValueError: when there is nothing to resume in it, or it cannot be a new run's, or holds a damaged config.json.
    """
    if out is not None:
        (_require_begun if resume else _require_free)(out)


@contextmanager
def new(out: Path | None, name: str, asked: Asked) -> Generator[Path]:
    """A folder for a new run, with its config.json, which no other process may work in until the context ends.

    Args:
      out: the one that was asked for; None: runs/`name`, with the first number after it that is free.
      name: of the run.
      asked: what the run is.

    Raises:
      ValueError: when `out` holds something, or cannot be a folder, or another process is at work there.
    """
    if out is not None:
        _require_free(out)
    with ExitStack() as stack:
        for folder in _numbered(name) if out is None else [out]:
            if not _free(folder):
                continue
            try:
                stack.enter_context(locked(folder))
            except Taken:
                if out is not None:
                    raise
                continue
            if _free(folder):  # still: another process may have begun, and finished, in between
                begin(folder, asked)
                yield folder
                return
        raise ValueError(f"{out or next(_numbered(name))}: not free any more; name another folder with --out")


@contextmanager
def to_resume(out: Path | None, name: str, asked: Asked) -> Generator[Path]:
    """The folder of the run that was begun with the same settings, data and code: see `new`.

    Raises:
      ValueError: when there is none, or it was begun with others, or another process is at work there.
    """
    folder = _begun(out, name, asked)
    with locked(folder):
        sweep(folder)
        yield folder


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """No other process may work in the folder, which is made if need be; a killed process leaves no lock behind.

    Raises:
      Taken: when another process is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            number = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            raise Taken(f"{folder}: another process ({number}) is at work there; let it finish, or stop it") from None
        with suppress(OSError):  # a full disk: the number is no more than a courtesy
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _begun(out: Path | None, name: str, asked: Asked) -> Path:
    if out is not None:
        _require_begun(out)
        if difference := _difference(out, asked):
            raise ValueError(difference)
        return out
    begun = [f for f in itertools.takewhile(Path.exists, _numbered(name)) if (f / "config.json").is_file()]
    unfinished = [folder for folder in begun if not (folder / "results.json").is_file()]
    differences = [_difference(folder, asked) for folder in unfinished]
    for folder, difference in zip(unfinished, differences, strict=True):
        if not difference:
            return folder
    if unfinished:
        raise ValueError(differences[0])
    first = next(_numbered(name))
    why = "is finished" if begun else "is not there"
    raise ValueError(f"nothing to resume: {first} {why}; leave out --resume, or name the run's folder with --out")


def _numbered(name: str) -> Iterator[Path]:
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run"
    return (Path("runs") / (plain + (f"-{i}" if i > 1 else "")) for i in range(1, MOST_NUMBERS))


def _require_begun(out: Path) -> None:
    if not (out / "config.json").is_file():
        raise ValueError(f"{out}: nothing to resume; leave out --resume to begin a run there")
    read_config(out)
    if (out / "results.json").is_file():
        raise ValueError(f"{out}: nothing to resume: the run is finished; `jaxal report` writes its page again")


def _require_free(out: Path) -> None:
    if (out / "config.json").is_file():
        raise ValueError(f"{out} holds a run already; give another folder, or --resume to go on with an unfinished run")
    if not _free(out):
        raise ValueError(f"{out} {'holds something else' if out.is_dir() else 'is not a folder'}; give another")
    if above := next((parent for parent in out.parents if parent.exists() and not parent.is_dir()), None):
        raise ValueError(f"{out}: {above} is not a folder; give another")


def _free(folder: Path) -> bool:
    """Whether a folder is not there, or holds nothing but what a process leaves that was killed before it began."""
    if not folder.exists():
        return True
    ours = lambda name: name == LOCK or any(fnmatch(name, pattern) for pattern in UNFINISHED)
    return folder.is_dir() and all(ours(inside.name) for inside in folder.iterdir())


def _difference(folder: Path, asked: Asked) -> str:
    """Why the run in a folder is not the one that is asked for, in a line; empty: it is."""
    before = read_config(folder)
    for name, value in asked.settings.items():
        if before.settings[name] != value:
            return f"{folder} was begun with {name} = {before.settings[name]}, not {value}; resume with the same flags"
    if before.code != asked.code:
        then = before.code or "jaxal 0.1.0"
        return f"{folder} was begun with other code ({then}; now it is {asked.code}); begin a new run"
    for name, value in asked.fingerprints.items():
        if before.fingerprints.get(name) != value:
            return f"{folder}: {name} has changed since the run was begun; put back what it was, or begin a new run"
    return ""
