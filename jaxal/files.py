"""Files that are at their place whole or not at all, whatever happens meanwhile, and whose damage shows."""

import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

SEAL = 16  # bytes of the checksum at the end of a sealed file
HOUR, MONTH = 3600, 30 * 24 * 3600  # in seconds
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

    What a killed process left of an earlier try is removed.

    Args:
      path: the place.
      save: writes the contents to an open file.

    Raises:
      OSError: with the place as its `filename`, when it cannot be written.
    """
    sweep_old(path.parent, f".{glob.escape(path.name)}.*.tmp", HOUR)
    try:
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
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def move_whole(temporary: Path, path: Path) -> None:
    """Renames a written file to its place in the same folder; its contents, then its name, reach the disk itself."""
    _sync_one(temporary)
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync(place: Path) -> None:
    """Sees to it that a file, or a folder and all that is in it, outlives a power cut."""
    for inside in place.rglob("*"):
        _sync_one(inside)
    _sync_one(place)
    sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Sees to it that the names in a folder outlive a power cut, where the file system has a call for that."""
    with suppress(OSError):
        _sync_one(folder)


def _sync_one(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole. ValueError for NaN and infinite numbers, which JSON does not have."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole, in UTF-8."""
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes a compressed .npz file whole."""
    import numpy as np  # the rest of the command line's beginnings do without

    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


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


def sweep(folder: Path) -> None:
    """Removes what a killed process left unfinished in a folder, in which no other process may be at work."""
    for pattern in UNFINISHED:
        for left in folder.rglob(pattern):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                with suppress(OSError):
                    left.unlink()


def sweep_old(folder: Path, pattern: str, age: float) -> None:
    """Removes the files in `folder` that match a glob pattern and have not been written to for `age` seconds."""
    for path in folder.glob(pattern):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > age:
                path.unlink()
