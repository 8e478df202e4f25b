"""A folder of images, one subfolder a class, as a `Dataset`."""

import os
from collections.abc import Iterator
from pathlib import Path

from jaxal.data.dataset import DataError, Dataset
from jaxal.data.images import SPLITS, assemble, count, matches, read_images, some


def load_folder(
    path: str | Path, *, label_regex: str | None = None, group_regex: str | None = None, strict: bool = False
) -> Dataset:
    """A folder of images, one subfolder a class, as a `Dataset` whose inputs are `LazyImages`.

    The class folders may stand in folders of an official split (train, val or valid or validation, test, ...: see
    `images.SPLITS`). Regular expressions are searched in the path below `path`, with forward slashes; their first
    bracket is the class (`label_regex`, instead of class folders) or the group (`group_regex`). The patients of
    Kermany et al.'s chest X-rays are recognised without one. Hidden files are passed over; links are followed.

    Files that cannot be read, and exact copies, are left out with a notice; of copies that stand in several
    official splits, the one in test, else in val, stays, and of copies with different labels none.

    Raises DataError, one line: no such folder, or one that cannot be read; no classes, nothing readable, a name that a
    regular expression does not match; under `strict`, any file that cannot be read.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    files, notices = _list(root, label_regex)
    images, rows, skipped = read_images([root / file for file, _, _ in files], read_file, strict=strict)
    names, labels, splits = zip(*[files[row] for row in rows], strict=True)
    try:
        return assemble(root.name, images, names, labels, splits, group_regex, (*notices, *skipped))
    except DataError as error:
        raise DataError("; ".join([str(error), *skipped])) from None


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; an OSError for anything else, such as a pipe, which would never end."""
    path.stat()
    if not path.is_file():
        raise OSError("not a regular file")
    return path.read_bytes()


def files_below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Every file below a folder, hidden ones left out; a link to a folder that it stands in leads nowhere."""
    real = folder.resolve()
    if real in above:
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}") from None
    yield from (folder / name for name, is_dir in entries if not is_dir)
    for name, is_dir in entries:
        if is_dir and not name.startswith("__MACOSX"):
            yield from files_below(folder / name, above | {real})


def _list(root: Path, label_regex: str | None) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(path below root, class, official split or "") of every file, and notices."""
    found = [path.relative_to(root).parts for path in files_below(root)]
    if not found:
        raise DataError(f"{root}: an empty folder; one subfolder a class is expected")
    top = {parts[0] for parts in found if len(parts) > 1}
    official = {SPLITS[name.lower()] for name in top if name.lower() in SPLITS}
    others = sorted(name for name in top if name.lower() not in SPLITS)
    if len(official) > 1 and others:
        known = ", ".join(sorted(top - {*others}))
        raise DataError(f"{root}: beside {known} stands {', '.join(others)}; move it out of this folder")
    depth = 1 if official and not others else 0

    needed = depth + (1 if label_regex is None else 0)  # folders around an image
    inside = [parts for parts in found if len(parts) > needed]
    outside = ["/".join(parts) for parts in found if len(parts) <= needed]
    if not inside:
        raise DataError(
            f"{root}: {count(outside)} but no class folders; put each class into a folder of its own, or "
            f"say what in a file's name is its class, as in --label-regex 'label_(\\w+)' (is: {outside[0]})"
        )
    names = ["/".join(parts) for parts in inside]
    splits = [SPLITS[parts[0].lower()] if depth else "" for parts in inside]
    if label_regex is None:
        labels, where = [parts[depth] for parts in inside], "class"
        empty = sorted(_folders(root, depth) - set(labels))
    else:
        labels, where, empty = matches(label_regex, names, "label"), "split", []
    notices = [f"{count(outside)} outside the {where} folders left out: {some(outside)}"] if outside else []
    notices += [f"class folders without images left out: {some(empty)}"] if empty else []
    return list(zip(names, labels, splits, strict=True)), notices


def _folders(root: Path, depth: int) -> set[str]:
    """Names of the class folders."""
    parents = [root] if depth == 0 else [path for path in root.iterdir() if path.is_dir()]
    inside = (path for parent in parents for path in parent.iterdir() if path.is_dir())
    return {path.name for path in inside if not path.name.startswith((".", "__MACOSX"))}
