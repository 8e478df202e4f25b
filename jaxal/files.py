"""Files that are at their place whole or not at all, whatever happens meanwhile, and whose damage shows."""

import glob
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

SEAL = 16  # bytes of the checksum at the end of a sealed file
HOUR, MONTH = 3600, 30 * 24 * 3600  # in seconds


def write_whole(path: Path, save: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file beside its place and moves it there; a power cut or another writer leaves the old or the new one.

    What a killed process left of an earlier try is removed.

    Args:
      path: the place.
      save: writes the contents to an open file.
    """
    sweep(path.parent, f".{glob.escape(path.name)}.*.tmp", HOUR)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w+b") as file:
            os.fchmod(handle, path.parent.stat().st_mode & 0o666)  # for whoever may read the folder
            save(file)
        move_whole(Path(temporary), path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def move_whole(temporary: Path, path: Path) -> None:
    """Renames a written file to its place in the same folder; its contents, then its name, reach the disk itself."""
    _sync(temporary)
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sees to it that the names in a folder outlive a power cut, where the file system has a call for that."""
    with suppress(OSError):
        _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
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


def write_sealed(path: Path, save: Callable[[IO[bytes]], Any]) -> None:
    """Writes as `write_whole` does, with a checksum behind what `save` writes, for `is_whole`."""

    def sealed(file: IO[bytes]) -> None:
        save(file)
        file.seek(0)
        total = hashlib.file_digest(file, _checksum)  # type: ignore[arg-type]
        file.seek(0, os.SEEK_END)
        file.write(total.digest())

    write_whole(path, sealed)


def is_whole(path: Path) -> bool:
    """Whether a file is as `write_sealed` wrote it. OSError where it cannot be read."""
    if not path.is_file():
        return False  # something that is no file, a pipe say, would be waited for
    total = _checksum()
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - SEAL
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            total.update(block)
            left -= len(block)
        return left == 0 and file.read() == total.digest()


def _checksum():
    return hashlib.blake2b(digest_size=SEAL)


def sweep(folder: Path, pattern: str, age: float) -> None:
    """Removes the files in `folder` that match a glob pattern and have not been written to for `age` seconds."""
    for path in folder.glob(pattern):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > age:
                path.unlink()
