"""Files that are at their place whole or not at all, whatever happens while they are written."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np


def write_whole(path: Path, save: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file beside its place and moves it there; a power cut or another writer leaves the old or the new one.

    Args:
      path: the place.
      save: writes the contents to an open file.
    """
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
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sees to it that the names in a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole."""
    write_whole(path, lambda file: file.write((json.dumps(content, indent=1) + "\n").encode()))


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a compressed .npz file whole."""
    contents: dict[str, Any] = dict(arrays)
    write_whole(path, lambda file: np.savez_compressed(file, **contents))
