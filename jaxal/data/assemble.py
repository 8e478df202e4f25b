"""From readable images, and what is known of them, to a `Dataset`: copies, classes, patients."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxal.data.dataset import DataError, Dataset, Unlabelled, number_groups
from jaxal.data.images import LazyImages
from jaxal.data.wording import count, is_utf8, some

# Patients in Kermany et al.'s names of chest X-rays. The number in NORMAL2-IM-0384 is not that in IM-0384:
# each numbering runs on through the official splits without overlap, both together do not. Whether person12
# is one child under "bacteria" and under "virus" is not known; as one group, nothing can leak.
KERMANY = {
    "normal": re.compile(r"((?:NORMAL\d*-)?IM-\d+)-|NORMAL-(\d+)-"),
    "pneumonia": re.compile(r"(person\d+)_(?:bacteria|virus)_|(?:BACTERIA|VIRUS)-(\d+)-"),
}
LIKE_KERMANY = re.compile(r"(person\d+|IM-\d+)")  # names that others use, too


class Named(NamedTuple):
    """What is known of files, each [n].

    files: paths below the folder, or names of records.
    labels: names of classes, "" where there is none.
    splits: "train", "val", "test", or "" where there is none.
    groups: names of patients, or None.
    """

    files: list[str]
    labels: list[str]
    splits: list[str]
    groups: list[str] | None = None

    def take(self, rows: Sequence[int]) -> "Named":
        """The same of some of the files."""
        return Named(*(None if column is None else [column[row] for row in rows] for column in self))  # type: ignore[arg-type]


def assemble(
    name: str, images: LazyImages, named: Named, notices: Sequence[str], classes: Sequence[str] = ()
) -> Dataset:
    """A `Dataset` of readable images: copies left out, classes numbered, groups found in the names.

    images: [n], of the files in `named` [n].
    classes: in their order; by default those in the labels, sorted.
    """
    labelled = [row for row, label in enumerate(named.labels) if label]
    unknown = [row for row, label in enumerate(named.labels) if not label]
    others = _new(images, unknown, labelled)
    if not labelled:
        raise DataError(f"{name}: no image has a label")
    own = named.take(labelled)
    stay, dropped = distinct([images.digests[row] for row in labelled], own.files, own.labels, own.splits)
    rows, own = [labelled[place] for place in stay], own.take(stay)
    numbers = all(label.isdecimal() for label in own.labels)
    classes = classes or sorted(set(own.labels), key=lambda label: (int(label) if numbers else 0, label))
    if len(classes) < 2:
        raise DataError(f"{name}: one class only ({classes[0]}); two or more are expected")
    for text in classes:
        if not is_utf8(text):
            raise DataError(f"{name}: {text!a} is no class name in UTF-8, and a report could not hold it")
    known = named.take([*rows, *others])
    groups, grouped = _groups(name, known, len(rows))
    if others:
        grouped.append(f"{count(others, 'image')} without a label left out of the simulation")
    if copies := len(unknown) - len(others):
        grouped.append(f"{copies:,} image{'s' * (copies > 1)} without a label left out as exact copies of others")
    part = lambda chosen: None if groups is None else groups[chosen]
    files = np.array(known.files)
    unlabelled = Unlabelled(images[np.array(others, int)], files[len(rows) :], part(slice(len(rows), None)))
    return Dataset(
        name=name,
        inputs=images[np.array(rows)],
        labels=np.array([classes.index(label) for label in own.labels], np.int32),
        classes=tuple(classes),
        groups=part(slice(len(rows))),
        official=np.array(own.splits) if all(own.splits) else None,
        notices=(*notices, *dropped, *grouped),
        names=files[: len(rows)],
        unlabelled=unlabelled if others else None,
    )


def _new(images: LazyImages, rows: Sequence[int], known: Sequence[int]) -> list[int]:
    """Of the images `rows` one of each content, and none of the contents of those `known`."""
    seen = {images.digests[row] for row in known}
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(images.digests[row], row)
    return [row for value, row in first.items() if value not in seen]


def distinct(
    digests: Sequence[str], names: Sequence[str], labels: Sequence[str], splits: Sequence[str], noun: str = "file"
) -> tuple[list[int], list[str]]:
    """The rows that stay when exact copies go, in rising order, and notices of those that went.

    digests, names, labels, splits: [n], as in `Named`. noun: what a row is called in the notices.

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


def _groups(name: str, named: Named, labelled: int) -> tuple[np.ndarray | None, list[str]]:
    """Groups [n] as numbers, and notices. labelled: how many of the images, the first, have labels."""
    groups, source = named.groups, ""
    if groups is None:
        groups, source = _kermany(named)
    if groups is None:
        return None, [source] if source else []
    numbers = number_groups(name, np.array(groups), np.array(named.splits), np.arange(len(groups)) < labelled)
    return numbers, [f"{len(groups):,} images in {numbers.max() + 1:,} groups{source}"]


def _kermany(named: Named) -> tuple[list[str] | None, str]:
    """Patients by file name in Kermany et al.'s data set, and how they were told; or None, and a hint or nothing.

    It is that data set where there are its two classes, and most names of each are as that class's are there.
    """
    bases = [Path(file).name for file in named.files]
    found = [_patient(label, base) for label, base in zip(named.labels, bases, strict=True)]
    known: dict[str, list[bool]] = {}
    for label, patient in zip(named.labels, found, strict=True):
        if label:
            known.setdefault(label.lower(), []).append(patient is not None)
    if known.keys() != KERMANY.keys() or min(map(np.mean, known.values())) <= 0.5:
        alike = sum(LIKE_KERMANY.match(base) is not None for base in bases)
        hint = f"file names such as {bases[0]} may name patients; if they do: --group-regex '{LIKE_KERMANY.pattern}'"
        return None, hint if 2 * alike > len(bases) else ""
    # Some ids begin anew in every official split, so a patient is (split, id).
    groups = [
        file if patient is None else f"{split} {patient}"
        for patient, split, file in zip(found, named.splits, named.files, strict=True)
    ]
    foreign = [file for file, patient in zip(named.files, found, strict=True) if patient is None]
    source = " by the patient ids in the file names"
    source += f" ({count(foreign)} without one, each a group of its own: {some(foreign)})" if foreign else ""
    return groups, source


def _patient(label: str, base: str) -> str | None:
    """The patient of a file of Kermany et al.'s, of a known class or (label "") of any."""
    patterns = KERMANY.values() if not label else filter(None, [KERMANY.get(label.lower())])
    found = next(filter(None, (pattern.match(base) for pattern in patterns)), None)
    return found and (found[1] or found[2])


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
