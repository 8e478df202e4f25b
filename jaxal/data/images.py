"""Images that stay encoded until they are needed, and what makes a `Dataset` of them.

A data set of 5,000 X-rays costs memory for its file names only (`LazyImages`). Every file is still looked into once
(`read_images`), since a broken one must be named before an experiment starts, not in the middle of it.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from jaxal.data.dataset import DataError, Dataset, number_groups
from jaxal.data.decode import decode, fault, is_dicom, require_pydicom
from jaxal.data.wording import count, few, some

SPLITS = {"train": "train", "val": "val", "test": "test"}
SPLITS |= {"training": "train", "valid": "val", "validation": "val", "validate": "val", "testing": "test"}

# Patients in Kermany et al.'s names of chest X-rays. The number in NORMAL2-IM-0384 is not that in IM-0384:
# each numbering runs on through the official splits without overlap, both together do not. Whether person12
# is one child under "bacteria" and under "virus" is not known; as one group, nothing can leak.
KERMANY = re.compile(
    r"(?P<person>person\d+)_(?:bacteria|virus)_|(?P<scan>(?:NORMAL\d*-)?IM-\d+)-|"
    r"(?:BACTERIA|VIRUS|NORMAL)-(?P<number>\d+)-"
)


@dataclass(frozen=True)
class LazyImages:
    """A sequence of images that are read and decoded when asked for.

    `images[i]` is uint8 [H, W, 3], of any size; `images[rows]`, with an array or slice, is a `LazyImages`.

    keys: [n] what `read` takes to give an image's encoded bytes (a path, a record's place); it names it.
    digests: [n] hash of each image's encoded bytes, seen when the data set was read.
    """

    keys: tuple[Any, ...]
    digests: tuple[str, ...]
    read: Callable[[Any], bytes]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, row) -> Any:
        if isinstance(row, int | np.integer):
            return decode(self.encoded(int(row)), str(self.keys[row]))
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
    """Look into every image once: the readable ones, their places in `keys`, and notices of the others."""

    def look(key) -> tuple[str, str | None]:
        try:
            data = read(key)
        except OSError as error:
            return "", error.strerror or str(error)
        if is_dicom(data):
            require_pydicom(str(key))
        return digest(data), fault(data)

    with ThreadPoolExecutor(os.cpu_count()) as threads, progress_bar() as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of oddities that it then reads, or faults named below
        seen = list(bar.track(threads.map(look, keys), total=len(keys), description="reading images"))
    rows = [row for row, (_, wrong) in enumerate(seen) if wrong is None]
    faults = [f"{keys[row]} ({wrong})" for row, (_, wrong) in enumerate(seen) if wrong is not None]
    line = f"{len(faults):,} of {len(keys):,} files cannot be read as images: {some(faults, 20)}"
    if faults and (strict or not rows):
        raise DataError(line)
    images = LazyImages(tuple(keys[row] for row in rows), tuple(seen[row][0] for row in rows), read)
    return images, rows, [f"skipped: {line}"] if faults else []


def assemble(
    name: str,
    images: LazyImages,
    names: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[str],
    group_regex: str | None,
    notices: Sequence[str],
    classes: Sequence[str] = (),
) -> Dataset:
    """A `Dataset` of readable images: copies left out, classes numbered, groups found in the names.

    images, names, labels, splits: [n]; splits are "train", "val", "test", or "" where there is none.
    classes: in their order; by default those in `labels`, sorted.
    """
    rows, dropped = distinct(images.digests, names, labels, splits)
    names, labels, splits = ([column[row] for row in rows] for column in (names, labels, splits))
    numbers = all(label.isdecimal() for label in labels)
    classes = classes or sorted(set(labels), key=lambda label: (int(label) if numbers else 0, label))
    if len(classes) < 2:
        raise DataError(f"{name}: one class only ({classes[0]}); two or more are expected")
    for text in (name, *classes):
        if text != text.encode("utf-8", "replace").decode():
            raise DataError(f"{text!a} is no name in UTF-8, and a report could not hold it; rename the folder")
    groups, grouped = _groups(name, names, splits, group_regex)
    lacking = sorted(set(labels) - {label for label, split in zip(labels, splits, strict=True) if split == "test"})
    untested = [f"the test split has no image of {few(lacking)}"] if lacking and "test" in splits else []
    return Dataset(
        name=name,
        inputs=images[np.array(rows)],
        labels=np.array([classes.index(label) for label in labels], np.int32),
        classes=tuple(classes),
        groups=groups,
        official=np.array(splits) if all(splits) else None,
        notices=(*notices, *dropped, *grouped, *untested),
    )


def distinct(
    digests: Sequence[str], names: Sequence[str], labels: Sequence[str], splits: Sequence[str], noun: str = "file"
) -> tuple[list[int], list[str]]:
    """The rows that stay when exact copies go, in rising order, and notices of those that went.

    digests, names, labels, splits: [n], as for `assemble`. noun: what a row is called in the notices.

    Raises DataError, one line, where no row is left.
    """
    copies: dict[str, list[int]] = {}
    for row, value in enumerate(digests):
        copies.setdefault(value, []).append(row)
    keep, extra, torn = [], [], []
    for rows in copies.values():
        if len({labels[row] for row in rows}) > 1:
            torn += [names[row] for row in rows]
            continue
        first, *rest = sorted(rows, key=lambda row: ("test", "val", "train", "").index(splits[row]))
        keep.append(first)
        extra += [names[row] for row in rest]
    notices = []
    if extra:
        notices.append(f"{count(extra, noun)} left out as exact copies of others: {some(extra)}")
    if torn:
        notices.append(f"{count(torn, noun)} left out: the same image with different labels: {some(torn)}")
    if not keep:
        raise DataError(notices[0])
    return sorted(keep), notices


def _groups(
    name: str, names: Sequence[str], splits: Sequence[str], group_regex: str | None
) -> tuple[np.ndarray | None, list[str]]:
    if group_regex is not None:
        ids, source = matches(group_regex, names, "group"), "the group pattern"
    else:
        found = [KERMANY.match(Path(file).name) for file in names]
        foreign = [file for file, match in zip(names, found, strict=True) if match is None]
        if 2 * len(foreign) > len(names):
            known = len(names) - len(foreign)
            return None, [f"patient ids in {known:,} of {len(names):,} file names, not used"] if known else []
        # Some ids begin anew in every official split, so a patient is (split, id).
        ids = [
            f"{split} {match[str(match.lastgroup)]}" if match else file
            for file, match, split in zip(names, found, splits, strict=True)
        ]
        source = "the patient ids in the file names"
        source += f" ({count(foreign)} without one, each a group of its own: {some(foreign)})" if foreign else ""
    groups = number_groups(name, np.array(ids), np.array(splits))
    return groups, [f"{len(names):,} images in {groups.max() + 1:,} groups by {source}"]


def matches(pattern: str, names: Sequence[str], what: str) -> list[str]:
    """The first bracket of `pattern` in every name."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"{what} pattern {pattern!r} is no regular expression: {error}") from None
    if compiled.groups < 1:
        raise DataError(f"{what} pattern {pattern!r} has no bracket around what names the {what}")
    found = [compiled.search(name) for name in names]
    missing = [name for name, match in zip(names, found, strict=True) if not (match and match.group(1))]
    if missing:
        raise DataError(f"{what} pattern {pattern!r} does not match {count(missing)}: {some(missing)}")
    return [match.group(1) for match in found if match]


class _Rate(ProgressColumn):
    def render(self, task):
        """Images a second, once known."""
        return f"{task.speed:,.0f} images/s" if task.speed else ""


def progress_bar() -> Progress:
    """A progress bar for images, on stderr: done of all, rate, time left."""
    text, left = TextColumn("{task.description}"), TimeRemainingColumn()
    return Progress(text, BarColumn(), MofNCompleteColumn(), _Rate(), left, console=Console(stderr=True))
