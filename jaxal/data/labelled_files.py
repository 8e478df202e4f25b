"""A table of labels beside a folder of images: which column names the files, which the labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxal.data.assemble import Named
from jaxal.data.dataset import DataError
from jaxal.data.layout import PICTURE, SPLITS
from jaxal.data.tables import GROUPS, LABELS, SUFFIXES, Table, no_label, read_table
from jaxal.data.wording import count, few, some


def labels_from_table(
    root: Path, files: Sequence[str], label_column: str | None = None, group_column: str | None = None
) -> tuple[Named | None, list[str]]:
    """What the table in the folder `root`, or in one in it, says of the images among `files`, and notices.

    None: there is no such table. Files are named by the end of their path, or by their name without its ending. Labels
    stand in the column that is asked for, in one with a usual name, in the only other one, or in columns of 0 and 1,
    one a class. Images that the table does not name, or names without a label, have none.

    Raises:
      DataError: one line: a table that cannot be read, several that fit, a file that is named twice, no labels.
    """
    fitting, images = _fitting(root, files)
    if not fitting:
        return None, []
    if len(fitting) > 1:
        several = few(table.path.name for table, *_ in fitting)
        raise DataError(f"{root}: {several} name its images; leave one of them there")
    table, column, places = fitting[0]
    rest = table.without(column)
    labels, how = _labels(rest, label_column)
    group = rest.choose(group_column, GROUPS, "group")
    split = next((name for name in rest.find(("split",)) if set(_lower(rest, name)) <= SPLITS.keys()), None)
    pick = lambda values: ["" if row is None else str(values[row]) for row in places]
    splits = [""] * len(images) if split is None else [SPLITS.get(text, "") for text in pick(_lower(rest, split))]
    groups = None
    if group is not None:
        groups = [text or file for text, file in zip(pick(rest.text(group)), images, strict=True)]
        how += f", groups in {group!r}"
    notices = [f"{table.path.name}: files in {column!r}, {how}"]
    unused = len(table) - len({row for row in places if row is not None})
    notices += [f"{unused:,} rows of {table.path.name} without their image left out"] if unused else []
    others = sorted({*files} - {*images, table.path.relative_to(root).as_posix()})
    notices += [f"{count(others)} beside the images left out: {some(others)}"] if others else []
    return Named(list(images), pick(labels), splits, groups), notices


def hint(root: Path, files: Sequence[str]) -> list[str]:
    """A notice where the images have class folders, and a table of labels stands beside these."""
    try:
        fitting, _ = _fitting(root, files)
    except DataError:
        return []  # whatever the table is, it was not asked for
    return [
        f"{table.path.name} names the images in {column!r}; to take labels from it instead of folders: --label-column, "
        f"one of {few(table.without(column).columns, 12)}"
        for table, column, _ in fitting
    ]


def tables_among(files: Sequence[str]) -> list[str]:
    """The files that may be tables of labels: in the folder itself, or in one in it."""
    return [file for file in files if file.count("/") <= 1 and file.lower().endswith(SUFFIXES)]


def _fitting(root: Path, files: Sequence[str]) -> tuple[list[tuple[Table, str, list[int | None]]], list[str]]:
    """The tables that name images, with the column that does and its row for each image; and the images."""
    tables = tables_among(files)
    others = [file for file in files if file not in {*tables}]
    images = [file for file in others if PICTURE.fullmatch(file)] or others
    read = [read_table(root / file) for file in tables] if images else []
    found = [(table, *_places(table, images)) for table in read]
    return [(table, column, places) for table, column, places in found if column is not None], images


def _places(table: Table, images: Sequence[str]) -> tuple[str | None, list[int | None]]:
    """The column that names most of the images, if it names half of them, and the row of each image in it."""
    sample = images[:: max(len(images) // 200, 1)]
    rows = {name: _rows(column) for name, column in table.columns.items() if column.dtype.kind != "f"}
    hits = {name: sum(_row(own, image) is not None for image in sample) for name, own in rows.items()}
    best = max(hits, key=hits.__getitem__, default=None)
    if best is None or 2 * hits[best] < len(sample):
        return None, []
    text = table.text(best)
    twice = [value for value, n in zip(*np.unique(text, return_counts=True), strict=True) if n > 1 and value]
    if twice:
        raise DataError(f"{table.path}: column {best!r} names files twice: {few(twice)}")
    return best, [_row(rows[best], image) for image in images]


def _rows(column: np.ndarray) -> dict[str, int]:
    return {str(value).strip().removeprefix("./"): row for row, value in enumerate(column.tolist())}


def _row(rows: dict[str, int], image: str) -> int | None:
    parts = image.split("/")
    stem = parts[-1].rpartition(".")[0]
    bare = (stem.lstrip("0") or "0") if stem.isdecimal() else ""  # as a column of numbers has it
    keys = (*("/".join(parts[start:]) for start in range(len(parts))), stem, bare)
    return next((rows[key] for key in keys if key and key in rows), None)


def _labels(table: Table, label_column: str | None) -> tuple[np.ndarray, str]:
    """Labels [n] as strings, "" where there is none, and where they were found."""
    name = table.choose(label_column, LABELS, "label")
    if name is None and len(table.columns) == 1:
        name = next(iter(table.columns))
    if name is not None:
        column = table.labels(name)
        return column if column.dtype.kind == "U" else table.text(name), f"labels in {name!r}"
    numbers = {key: column for key, column in table.columns.items() if column.dtype.kind in "if"}
    ones = np.stack([*numbers.values()], 1) if numbers else np.zeros((len(table), 0))
    if ones.shape[1] > 1 and np.isin(ones, (0, 1)).all() and np.all(ones.sum(1) == 1):
        return np.array(list(numbers))[ones.argmax(1)], f"labels as columns of 0 and 1: {few(numbers)}"
    raise DataError(no_label(table))


def _lower(table: Table, name: str) -> list[str]:
    return [text.strip().lower() for text in table.text(name).tolist()]
