"""From readable images, and what their names say, to a `Dataset`: copies, classes, patients."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxal.data.dataset import DataError, Dataset, number_groups
from jaxal.data.images import LazyImages
from jaxal.data.wording import count, some

SPLITS = {"train": "train", "val": "val", "test": "test"}
SPLITS |= {"training": "train", "valid": "val", "validation": "val", "validate": "val", "testing": "test"}

# Patients in Kermany et al.'s names of chest X-rays. The number in NORMAL2-IM-0384 is not that in IM-0384:
# each numbering runs on through the official splits without overlap, both together do not. Whether person12
# is one child under "bacteria" and under "virus" is not known; as one group, nothing can leak.
KERMANY = re.compile(
    r"(?P<person>person\d+)_(?:bacteria|virus)_|(?P<scan>(?:NORMAL\d*-)?IM-\d+)-|"
    r"(?:BACTERIA|VIRUS|NORMAL)-(?P<number>\d+)-"
)


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
