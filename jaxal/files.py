"""Files that are at their place whole or not at all, whatever happens while they are written."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

UNFINISHED = (".*.tmp", "*.orbax-checkpoint-tmp*")
"""What files and checkpoints are called until they are whole, so what a killed process may leave."""


def expanded(path: Path | str) -> Path:
    """A path with `~` or `~NAME` at its beginning spelt out.

    Raises:
      ValueError: one line, when there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: there is no such home folder; give the path in full") from None


def write_whole(path: Path, save: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file beside its place and moves it there; a power cut or another writer leaves the old or the new one.

    Args:
      path: the place.
      save: writes the contents to an open file.

    Raises:
      OSError: with the place as its `filename`, when it cannot be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, path.parent.stat().st_mode & 0o666)  # for whoever may read the folder
                save(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _sync_one(path.parent)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def sync(place: Path) -> None:
    """Sees to it that a file, or a folder and all that is in it, outlives a power cut."""
    for inside in place.rglob("*"):
        _sync_one(inside)
    _sync_one(place)
    _sync_one(place.parent)


def _sync_one(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Takes away what a killed process left unfinished in a folder, in which no other process may be at work."""
    for pattern in UNFINISHED:
        for left in folder.rglob(pattern):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                with suppress(OSError):
                    left.unlink()


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole. ValueError for NaN and infinite numbers, which JSON does not have."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes a compressed .npz file whole."""
    import numpy as np  # the rest of the command line's beginnings do without

    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole, in UTF-8."""
    write_whole(path, lambda file: file.write(text.encode("utf-8")))
