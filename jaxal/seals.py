"""What files held when they were written, beside them: so that damage shows, and a file of another origin.

A seal is a small JSON file with a checksum of every file that it covers, and one line for what they were made from. It
is written last, so that what has none was not written whole.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxal.files import sync, write_json


class SealError(ValueError):
    """Something that is not what its seal says. Its message is one line, which the place begins."""


def seal_of(place: Path) -> Path:
    """Where the seal of a file or folder is, if it has one of its own."""
    return place.with_name(f"{place.name}.seal")


def seal(path: Path, places: Sequence[Path], origin: str) -> None:
    """Writes a seal, once what it covers is on the disk itself.

    Args:
      path: the seal to write.
      places: files and folders, in the folder of the seal.
      origin: what they were made from, a `fingerprint`.
    """
    files = sorted(file for place in places for file in _files(place))
    for place in places:
        sync(place)
    write_json(path, {"origin": origin, "files": {str(f.relative_to(path.parent)): _checksum(f) for f in files}})


def check(path: Path, places: Sequence[Path], origin: str) -> None:
    """That what a seal covers is as it was sealed, and of this origin.

    Raises:
      SealError: one line, for the first place that is not.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files, made_from = dict(content["files"]), content["origin"]
    except FileNotFoundError:
        raise SealError(f"{places[0]}: not written whole ({path.name} is missing)") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise SealError(f"{path}: damaged") from None
    if made_from != origin:
        raise SealError(f"{places[0]}: made from other data, settings or code")
    for place in places:
        found = {str(file.relative_to(path.parent)): file for file in _files(place)}
        name = place.name
        sealed = {file: checksum for file, checksum in files.items() if file.split("/")[0] == name}
        if set(found) != set(sealed) or any(_checksum(found[file]) != sealed[file] for file in sealed):
            raise SealError(f"{place}: damaged")


def fingerprint(*parts: Any) -> str:
    """Hexadecimal digits that stand for these texts and arrays, in this order."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode("utf-8", "surrogatepass"))
        else:
            array = np.ascontiguousarray(part)
            total.update(f"{array.dtype} {array.shape}".encode())
            total.update(array.view(np.uint8).data if array.size else b"")
        total.update(b"\0")
    return total.hexdigest()


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    yield from (file for file in place.rglob("*") if file.is_file())


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()  # type: ignore[arg-type]
