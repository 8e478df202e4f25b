"""Which folders of a path are official splits and which are classes, as people lay out their images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jaxal.data.dataset import DataError
from jaxal.data.wording import count, few, is_utf8, some

SPLITS = {name: name for name in ("train", "val", "test")} | {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "testing": "test",
}
NEUTRAL = frozenset(("set", "data", "dataset", "images", "image", "imgs", "img", "split", "samples", "folder"))
UNLABELLED = ("unlabelled", "unlabeled")  # a folder of images without a class
PICTURE = re.compile(r".*\.(jpe?g|png|tiff?|bmp|gif|webp|p[pgbn]m|jp2|j2k|dcm|dicom)", re.IGNORECASE)

Parts = tuple[str, ...]  # of a path below the data set's folder


@dataclass(frozen=True)
class Layout:
    """What the folders of a data set's files mean.

    files: [n] their paths below the data set's folder.
    labels: [n] the class folder that each stands in, "" for those without a label; all "" where folders name none.
    splits: [n] "train", "val", "test", or "" where there is none.
    notices: of what was left out, and of what looks as if it were meant otherwise.
    """

    files: list[str]
    labels: list[str]
    splits: list[str]
    notices: list[str]


def find_layout(root: str, found: Sequence[Parts], folders: Sequence[Parts], with_classes: bool) -> Layout:
    """The layout of the files `found` and of all `folders` in the folder `root`; without files where nothing fits.

    A single folder is seen through, around everything and in the folder of a split. with_classes: whether folders name
    the classes.

    Raises:
      DataError: one line: folders beside those of the splits that look like data, a name that is not UTF-8.
    """
    around = _around(found)
    splits, levels = _splits(root, [parts[around:] for parts in found])

    def level(parts: Parts) -> int:
        """How many folders stand around the class folders (or the files) that `parts` belongs to; -1: it is outside."""
        if not splits:
            return around
        own = parts[around:]
        return around + levels[own[0]] if own and own[0] in splits else -1

    inside = [parts for parts in found if 0 <= level(parts) < len(parts) - with_classes]
    outside = ["/".join(parts) for parts in found if not 0 <= level(parts) < len(parts) - with_classes]
    files = ["/".join(parts) for parts in inside]
    official = [splits.get(parts[around], "") for parts in inside]
    where = "class" if with_classes else "split" if splits else "image"
    notices = [f"{count(outside)} outside the {where} folders left out: {some(outside)}"] if outside else []
    if not with_classes:
        return Layout(files, [""] * len(files), official, notices)
    labels = [parts[level(parts)] for parts in inside]
    for name in sorted(set(labels)):
        if not is_utf8(name):
            raise DataError(f"{name!a} is no name in UTF-8, and a report could not hold it; rename the folder")
    empty = sorted({folder[-1] for folder in folders if level(folder) == len(folder) - 1} - set(labels))
    notices += [f"class folders without images left out: {some(empty)}"] if empty else []
    notices += _other_readings([parts[level(parts) :] for parts in inside], max(map(level, inside), default=0))
    return Layout(files, ["" if label.lower() in UNLABELLED else label for label in labels], official, notices)


def _around(found: Sequence[Parts]) -> int:
    """How many folders stand around everything, one in another, with folders in the last; a split is none of them."""
    depth = 0
    while True:
        inner = [parts[depth:] for parts in found if len(parts) > depth]
        folders = {parts[0] for parts in inner if len(parts) > 1}
        loose = any(len(parts) == 1 and PICTURE.fullmatch(parts[0]) for parts in inner)
        if len(folders) != 1 or loose or _split_names(folders) or not any(len(parts) > 2 for parts in inner):
            return depth
        depth += 1


def _splits(root: str, inner: Sequence[Parts]) -> tuple[dict[str, str], dict[str, int]]:
    """The folders of official splits, folder -> split; and how many folders stand around the classes in each."""
    names = {parts[0] for parts in inner if len(parts) > 1}
    splits = _split_names(names)
    others = sorted(names - splits.keys())
    if others and len({*splits.values()}) < 2:
        return {}, {}  # a class among others that is called train, say
    # beside them may stand images without classes (seg_pred/seg_pred/1.jpg), which are left out
    data = [name for name in others if any(p[:1] == (name,) and len(p) > 2 and p[1] != name for p in inner)]
    if splits and data:
        known = ", ".join(sorted(splits))
        raise DataError(f"{root}: beside {known} stands {', '.join(data)}; move it out of this folder")
    levels = {}
    for name in splits:
        inside = [parts[1:] for parts in inner if parts[:1] == (name,) and len(parts) > 2]
        again = {parts[0] for parts in inside}
        nested = len(again) == 1 and any(len(parts) > 2 for parts in inside)
        nested = nested and bool(again == {name} or _split_names(again))
        levels[name] = 2 if nested else 1
    return splits, levels


def _split_names(names: set[str]) -> dict[str, str]:
    """Folder -> split, of those that are one.

    A word for a split is enough beside words that say nothing (train_images), or that the folder of another split has,
    too (seg_train, seg_test).
    """
    found, rest = {}, {}
    for name in names:
        words = re.findall(r"[a-z]+|\d+", name.lower())
        hits = [word for word in words if word in SPLITS]
        if len(hits) == 1:
            found[name] = SPLITS[hits[0]]
            rest[name] = tuple(word for word in words if word not in SPLITS)
    shared = lambda name: {found[other] for other in found if rest[other] == rest[name]} > {found[name]}
    return {name: found[name] for name in found if NEUTRAL.issuperset(rest[name]) or shared(name)}


def _other_readings(inside: Sequence[Parts], above: int) -> list[str]:
    """Whether folders below those of the classes look like the classes, or like patients.

    inside: [n] paths from the class folder on. above: folders around it.
    """
    below: dict[str, set[str]] = {}  # folders in class folders -> the class folders that hold one of the name
    for parts in inside:
        if len(parts) > 2:
            below.setdefault(parts[1], set()).add(parts[0])
    if 2 * sum(len(parts) > 2 for parts in inside) < len(inside) or len(below) < 2:
        return []
    upper, tops = "[^/]+/" * above, {parts[0] for parts in inside}
    if sum(map(len, below.values())) >= 2 * len(below) and len(below) <= len(tops):
        return [
            f"the {len(tops):,} class folders hold folders of the same names: {few(sorted(below))}; files of all of "
            f"them are read. If those are the classes: --label-regex '^{upper}[^/]+/([^/]+)/', and if the upper ones "
            f"are patients: --group-regex '^{upper}([^/]+)/'"
        ]
    return [
        f"the class folders hold {len(below):,} folders: {few(sorted(below))}; if each is a patient: "
        f"--group-regex '^{upper}[^/]+/([^/]+)/'"
    ]
