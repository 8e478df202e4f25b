"""A folder of images as a `Dataset`: one subfolder a class, or a table of labels beside the images."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxal.data.assemble import Named, assemble, matches
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.images import read_images
from jaxal.data.labelled_files import hint, labels_from_table, tables_among
from jaxal.data.layout import Parts, find_layout
from jaxal.data.wording import count, few, is_utf8, some

RUN = {"command", "dataset", "config"}  # keys of the config.json of a run folder


def load_folder(
    path: str | Path,
    *,
    label_regex: str | None = None,
    group_regex: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    strict: bool = False,
) -> Dataset:
    """A folder of images as a `Dataset` whose inputs are `LazyImages`.

    The class folders may stand in folders of an official split (train, val or valid or validation, test, ...: see
    `layout`), and in single folders around them. Regular expressions are searched in the path below `path`, with
    forward slashes; their first bracket is the class (`label_regex`, instead of class folders) or the group
    (`group_regex`). The patients of Kermany et al.'s chest X-rays are recognised without one. Without class folders, a
    .csv or .parquet file beside the images may name their labels (see `labelled_files`). Images in a class folder
    called unlabelled, or with an empty label in the table, have none. Hidden files and the folders of jaxal's own runs
    are passed over; links are followed.

    Files that cannot be read, and exact copies, are left out with a notice; of copies that stand in several
    official splits, the one in test, else in val, stays, and of copies with different labels none.

    Raises DataError, one line: no such folder, or one that cannot be read; no classes, nothing readable, a name that a
    regular expression does not match; under `strict`, any file that cannot be read.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    name = root.resolve().name or str(root)  # of `.`, say
    if not is_utf8(name):
        raise DataError(f"{name!a} is no name in UTF-8, and a report could not hold it; rename the folder")
    named, notices = _name(root, label_regex, label_column, group_column)
    if group_regex is not None:
        named = named._replace(groups=matches(group_regex, named.files, "group"))
    images, rows, skipped = read_images([root / file for file in named.files], read_file, strict=strict)
    try:
        return assemble(name, images, named.take(rows), (*notices, *skipped))
    except DataError as error:
        raise DataError("; ".join([str(error), *skipped])) from None


def _name(
    root: Path, label_regex: str | None, label_column: str | None, group_column: str | None
) -> tuple[Named, list[str]]:
    """What names and tables say of the files below `root`, and notices."""
    found, folders, runs = [], [], []
    for kind, parts in _walk(root, ()):
        {"file": found, "folder": folders, "run": runs}[kind].append(parts)
    notices = [f"{count(runs, 'run folder')} left out: {some(['/'.join(parts) for parts in runs])}"] if runs else []
    if not found:
        raise DataError(f"{root}: an empty folder; one subfolder a class is expected")
    layout = find_layout(str(root), found, folders, with_classes=label_regex is None and label_column is None)
    if label_regex is not None:
        labels = matches(label_regex, layout.files, "label")
        return Named(layout.files, labels, layout.splits), notices + layout.notices
    files = ["/".join(parts) for parts in found]
    if label_column is not None or len({*layout.labels} - {""}) < 2:
        named, told = labels_from_table(root, files, label_column, group_column)
        if named is not None:
            return named, notices + told
        if label_column is not None:
            raise DataError(f"{root}: no .csv or .parquet file in it names its images, so there is no --label-column")
    if not layout.files:
        tables = tables_among(files)
        table = "put a .csv beside the images, with a column of their names and one of labels"
        if tables:
            table = f"correct {few(tables)}, in which fewer than half of the images are named"
        raise DataError(
            f"{root}: {count(found)} but no class folders; put each class into a folder of its own, or say what in a "
            f"file's name is its class, as in --label-regex 'label_(\\w+)' (is: {files[0]}), or {table}"
        )
    told = hint(root, files) if len(layout.files) < len(files) else []
    return Named(layout.files, layout.labels, layout.splits), [*notices, *layout.notices, *told]


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; OSError for anything else, such as a pipe, which would be waited for."""
    path.stat()
    if not path.is_file():
        raise OSError("not a regular file")
    return path.read_bytes()


def files_below(folder: Path) -> list[str]:
    """Paths below a folder, with forward slashes, of all files but hidden ones and those of runs.

    Raises:
      DataError: one line, for a folder that cannot be read.
    """
    return ["/".join(parts) for kind, parts in _walk(folder, ()) if kind == "file"]


def _walk(folder: Path, parts: Parts, above: frozenset[Path] = frozenset()) -> Iterator[tuple[str, Parts]]:
    """Every ("file", parts), ("folder", parts) and ("run", parts) below a folder, hidden ones left out.

    A link to a folder that it stands in leads nowhere, and neither does the folder of a run. A folder that holds
    nothing but runs is left out.
    """
    real = folder.resolve()
    if real in above:
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}") from None
    yield from (("file", (*parts, name)) for name, is_dir in entries if not is_dir)
    for name, is_dir in entries:
        if not is_dir or name.startswith("__MACOSX"):
            continue
        if _is_run(folder / name):
            yield "run", (*parts, name)
            continue
        inside = list(_walk(folder / name, (*parts, name), above | {real}))
        if not inside or any(kind != "run" for kind, _ in inside):
            yield "folder", (*parts, name)
        yield from inside


def _is_run(folder: Path) -> bool:
    """Whether jaxal wrote the folder: its figures are no data."""
    path = folder / "config.json"
    try:
        asked: Any = json.loads(path.read_bytes()) if path.is_file() and path.stat().st_size < 1 << 20 else {}
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(asked, dict) and asked.keys() >= RUN
