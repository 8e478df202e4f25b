"""Images that stay encoded until they are needed.

A data set of 5,000 X-rays costs memory for its file names only (`LazyImages`). Every file is still looked into once
(`read_images`), since a broken one must be named before an experiment starts, not in the middle of it.
"""

import ctypes
import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)

from jaxal.data.dataset import DataError
from jaxal.data.decode import Look, decode, look
from jaxal.data.depth import Range, Scales, describe, scale_of, together
from jaxal.data.dicom import is_dicom, require_pydicom
from jaxal.data.in_time import in_time
from jaxal.data.wording import some

LONGEST = 60.0  # seconds that an image may take
LATE = Look(f"not decoded within {LONGEST:.0f} seconds")


@dataclass(frozen=True)
class LazyImages:
    """A sequence of images that are read and decoded when asked for.

    `images[i]` is uint8 [H, W, 3], of any size; `images[rows]`, with an array or slice, is a `LazyImages`.

    keys: [n] what `read` takes to give an image's encoded bytes (a path, a record's place); it names it.
    digests: [n] hash of each image's encoded bytes, seen when the data set was read.
    scales: black and white of images that are deeper than 8 bits, one for the whole data set.
    """

    keys: tuple[Any, ...]
    digests: tuple[str, ...]
    read: Callable[[Any], bytes]
    scales: Scales = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, int | np.integer):
            return decode(self.encoded(int(row)), str(self.keys[row]), self.scales)
        rows = np.arange(len(self))[row]
        return replace(self, keys=tuple(self.keys[i] for i in rows), digests=tuple(self.digests[i] for i in rows))

    def encoded(self, row: int) -> bytes:
        """The bytes of one image; a DataError where they are gone or no longer those first seen."""
        try:
            data = self.read(self.keys[row])
        except OSError as error:
            raise DataError(f"{self.keys[row]}: {error.strerror or error}") from None
        if digest(data) != self.digests[row]:
            raise DataError(f"{self.keys[row]} has changed since the data set was read; run again")
        return data


def digest(data: bytes) -> str:
    """The hash by which image contents are compared."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_images(
    keys: Sequence[Any], read: Callable[[Any], bytes], *, strict: bool
) -> tuple[LazyImages, list[int], list[str]]:
    """Look into every image once: the readable ones, their places in `keys`, and notices of the others and of depth."""

    def see(key: Any) -> tuple[str, Look]:
        try:
            data = read(key)
        except OSError as error:
            return "", Look(error.strerror or str(error))
        if is_dicom(data):
            require_pydicom(str(key))
        return digest(data), look(data)

    with progress_bar() as bar, quiet():
        found = bar.track(in_time(see, keys, LONGEST), total=len(keys), description="reading images")
        seen = [("", LATE) if one is None else one for one in found]
    rows = [row for row, (_, found) in enumerate(seen) if found.fault is None]
    faults = [f"{keys[row]} ({found.fault})" for row, (_, found) in enumerate(seen) if found.fault is not None]
    line = f"{len(faults):,} of {len(keys):,} files cannot be read as images: {some(faults, 20)}"
    if faults and (strict or not rows):
        raise DataError(line)
    scales, notices = _scales([str(keys[row]) for row in rows], [seen[row][1] for row in rows])
    images = LazyImages(tuple(keys[row] for row in rows), tuple(seen[row][0] for row in rows), read, scales)
    return images, rows, [f"skipped: {line}", *notices] if faults else notices


def _scales(names: Sequence[str], seen: Sequence[Look]) -> tuple[Scales, list[str]]:
    """Black and white of each kind of deep images, and what is said of them."""
    kinds: dict[str, list[tuple[str, Range]]] = {}
    for name, found in zip(names, seen, strict=True):
        if found.kind is not None and found.range is not None:
            kinds.setdefault(found.kind, []).append((os.path.basename(name), found.range))
    scales, notices = {}, []
    for kind, found in sorted(kinds.items()):
        named, ranges = zip(*found, strict=True)
        scales[kind] = scale_of(together(ranges))
        notices.append(describe(kind, named, ranges, len(names)))
    return scales, notices


@cache
def _silence_libtiff() -> None:
    """Keeps what libtiff finds wrong with a file off the terminal, where it writes from within Pillow's own copy."""
    for library in (Path(PIL.__file__).parents[1] / "pillow.libs").glob("libtiff*"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)


@contextmanager
def quiet() -> Generator[None]:
    """Keeps what Pillow and pydicom say of odd files from the terminal; what matters of it is said by name here."""
    _silence_libtiff()
    loggers = [logging.getLogger(name) for name in ("PIL", "pydicom")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> str:
        """Images a second, once known."""
        return f"{task.speed:,.0f} images/s" if task.speed else ""


def progress_bar() -> Progress:
    """A progress bar for images, on stderr: done of all, rate, time left."""
    text, left = TextColumn("{task.description}"), TimeRemainingColumn()
    return Progress(text, BarColumn(), MofNCompleteColumn(), _Rate(), left, console=Console(stderr=True))
