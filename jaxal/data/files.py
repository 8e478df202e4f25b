"""Files that are whole or not there at all, that survive a power cut, and whose damage shows."""

import glob
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

SEAL = 16  # bytes of a checksum at the end of a file
HOUR, MONTH = 3600, 30 * 24 * 3600


def write_whole(path: Path, save: Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that it is at `path` whole or not at all, whoever else writes the same, and after a power cut.

    What a killed process left of an earlier try is removed.
    """
    sweep(path.parent, f"{glob.escape(path.name)}*.tmp", HOUR)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w+b") as file:
            os.fchmod(handle, path.parent.stat().st_mode & 0o666)  # for whoever may read the folder
            save(file)
            file.flush()
        move_whole(Path(temporary), path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def move_whole(temporary: Path, path: Path) -> None:
    """Rename a written file into its place in the same folder, its contents and then its name on the disk itself."""
    _to_disk(temporary)
    os.replace(temporary, path)
    with suppress(OSError):  # some file systems know no such call for folders
        _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_sealed(path: Path, save: Callable[[IO[bytes]], Any]) -> None:
    """As `write_whole`, with a checksum behind what `save` writes, for `is_whole`."""

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
    """Remove the files in `folder` that match a glob pattern and have not been written to for `age` seconds."""
    for path in folder.glob(pattern):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > age:
                path.unlink()
