"""Images that stay encoded until they are needed, and folders of them as a `Dataset`.

A data set of 5,000 X-rays costs memory for its file names only (`LazyImages`). Reading a folder still looks
into every file once, since a broken file must be named before an experiment starts, not in the middle of it.
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

from jaxal.dataset import DataError, Dataset
from jaxal.decode import decode, fault, is_dicom, require_pydicom

SPLITS = {"train": "train", "val": "val", "test": "test"}
SPLITS |= {"training": "train", "valid": "val", "validation": "val"}

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


def load_folder(
    path: str | Path, *, label_regex: str | None = None, group_regex: str | None = None, strict: bool = False
) -> Dataset:
    """A folder of images, one subfolder a class, as a `Dataset` whose inputs are `LazyImages`.

    The class folders may stand in folders of an official split (train, val or valid or validation, test).
    Regular expressions are searched in the path below `path`, with forward slashes; their first bracket is
    the class (`label_regex`, instead of class folders) or the group (`group_regex`). The patients of Kermany
    et al.'s chest X-rays are recognised without one. Hidden files are passed over.

    Files that cannot be read, and exact copies, are left out with a notice; of copies that stand in several
    official splits, the one in test, else in val, stays, and of copies with different labels none.

    Raises DataError, one line: no such folder, no classes, nothing readable, a name that a regular expression
    does not match; under `strict`, any file that cannot be read.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    files, notices = _list(root, label_regex)
    images, rows, skipped = read_images([root / file for file, _, _ in files], Path.read_bytes, strict=strict)
    names, labels, splits = zip(*[files[row] for row in rows], strict=True)
    return assemble(root.name, images, names, labels, splits, group_regex, (*notices, *skipped))


def _list(root: Path, label_regex: str | None) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(path below root, class, official split or "") of every file, and notices."""
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        below = Path(folder).relative_to(root)
        found += [(below / name).parts for name in sorted(files) if not name.startswith(".")]
    if not found:
        raise DataError(f"{root}: an empty folder; one subfolder a class is expected")
    top = {parts[0].lower() for parts in found if len(parts) > 1}
    depth = 1 if top and top <= SPLITS.keys() else 0
    if depth == 0 and {"train", "test"} <= top:
        others = ", ".join(sorted(top - SPLITS.keys()))
        raise DataError(f"{root}: beside train and test stands {others}; move it out of this folder")

    split = lambda parts: SPLITS[parts[0].lower()] if depth else ""
    if label_regex is not None:
        names = ["/".join(parts) for parts in found]
        return list(zip(names, _matches(label_regex, names, "label"), map(split, found), strict=True)), []

    inside = [parts for parts in found if len(parts) > depth + 1]
    outside = ["/".join(parts) for parts in found if len(parts) <= depth + 1]
    if not inside:
        raise DataError(
            f"{root}: {len(found):,} files but no class folders; put each class into a folder of its own, or "
            f"say what in a file's name is its class, as in --label-regex 'label_(\\w+)' (is: {outside[0]})"
        )
    notices = [f"{_count(outside)} outside the class folders left out: {_some(outside)}"] if outside else []
    return [("/".join(parts), parts[depth], split(parts)) for parts in inside], notices


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
    line = f"{len(faults):,} of {len(keys):,} files cannot be read as images: {_some(faults, 20)}"
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
    classes = classes or sorted(set(labels), key=int if numbers else str)
    if len(classes) < 2:
        raise DataError(f"{name}: one class only ({classes[0]}); two or more are expected")
    groups, grouped = _groups(names, splits, group_regex)
    return Dataset(
        name=name,
        inputs=images[np.array(rows)],
        labels=np.array([classes.index(label) for label in labels], np.int32),
        classes=tuple(classes),
        groups=groups,
        official=np.array(splits) if all(splits) else None,
        notices=(*notices, *dropped, *grouped),
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
        notices.append(f"{_count(extra, noun)} left out as exact copies of others: {_some(extra)}")
    if torn:
        notices.append(f"{_count(torn, noun)} left out: the same image with different labels: {_some(torn)}")
    if not keep:
        raise DataError(notices[0])
    return sorted(keep), notices


def _groups(
    names: Sequence[str], splits: Sequence[str], group_regex: str | None
) -> tuple[np.ndarray | None, list[str]]:
    if group_regex is not None:
        ids, source = _matches(group_regex, names, "group"), "the group pattern"
    else:
        found = [
            match.lastgroup and match[match.lastgroup] for name in names if (match := KERMANY.match(Path(name).name))
        ]
        if len(found) < len(names):
            return None, []
        # Some ids begin anew in every official split, so a patient is (split, id).
        ids = [f"{split} {patient}" for patient, split in zip(found, splits, strict=True)]
        source = "the patient ids in the file names"
    unique, groups = np.unique(ids, return_inverse=True)
    return groups.astype(np.int32), [f"{len(names):,} images in {len(unique):,} groups by {source}"]


def _matches(pattern: str, names: Sequence[str], what: str) -> list[str]:
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
        raise DataError(f"{what} pattern {pattern!r} does not match {_count(missing)}: {_some(missing)}")
    return [match.group(1) for match in found if match]


def _count(names: Sequence[str], noun: str = "file") -> str:
    return f"{len(names):,} {noun}{'s' * (len(names) != 1)}"


def _some(names: Sequence[str], shown: int = 3) -> str:
    """The first few names."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")


class _Rate(ProgressColumn):
    def render(self, task):
        """Images a second, once known."""
        return f"{task.speed:,.0f} images/s" if task.speed else ""


def progress_bar() -> Progress:
    """A progress bar for images, on stderr: done of all, rate, time left."""
    text, left = TextColumn("{task.description}"), TimeRemainingColumn()
    return Progress(text, BarColumn(), MofNCompleteColumn(), _Rate(), left, console=Console(stderr=True))
