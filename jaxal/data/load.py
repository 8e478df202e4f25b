"""Data sets by their name or path: `load` is the one entry point. Everything here is host-side NumPy.

What arrays may hold is in `arrays.py`; `.npz` files are read by `npz.py`, tables by `tables.py`, image folders by
`folder.py`, TFDS data sets by `tfds_reader.py`. Each returns the same `dataset.Dataset`, which `splits.py` cuts into
disjoint parts.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxal.data.arrays import from_arrays
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.folder import load_folder
from jaxal.data.npz import load_npz
from jaxal.data.remarks import class_remarks, facts
from jaxal.data.tables import SUFFIXES, load_table

BUNDLED = {"digits": "load_digits", "breast-cancer": "load_breast_cancer", "wine": "load_wine"}
PUBLISHED = ("kather2016", "kermany_pneumonia")  # the builders in `tfds_builders.py`


def load(
    source: str,
    *,
    label_regex: str | None = None,
    group_regex: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    strict: bool = False,
    data_dir: str | Path = "~/tensorflow_datasets",
    images: bool = False,
) -> Dataset:
    """A data set by its name or path; its first notice says what it holds (see `remarks.facts`).

    Args:
      source: a bundled name (`BUNDLED`), one of the paper's data sets (`PUBLISHED`), `tfds:NAME` for any
        prepared TFDS data set, a `.npz` file (see `npz.load_npz`), a table in a .csv or .parquet file (see
        `tables.load_table`), or a folder of images (see `folder.load_folder`). A name goes before a path: a folder
        called digits is ./digits.
      label_regex: for folders, where the class of an image stands in its path.
      group_regex: for folders and TFDS, where the group of an image stands in its file name.
      label_column, group_column: for tables, and folders with a table of labels.
      strict: an image that cannot be read is an error, not a notice.
      data_dir: where TFDS data sets are.
      images: a bundled data set of images (digits) as images, not as features.

    Raises:
      DataError: one line, for whatever cannot be read or used.
    """
    path = Path(os.path.expanduser(source))
    options = {"label_regex": label_regex, "group_regex": group_regex}
    options |= {"label_column": label_column, "group_column": group_column}
    kind = _kind(source, path)
    for name, value in options.items():
        if value is not None and kind not in TAKES[name]:
            beside = "; a .npz file holds `y` and may hold `groups`" if kind == ".npz files" else ""
            raise DataError(f"{source}: --{name.replace('_', '-')} is for {' and '.join(TAKES[name])}{beside}")
    given = {name: value for name, value in options.items() if kind in TAKES[name]}
    if kind == "TFDS data sets":
        from jaxal.data.tfds_reader import load_tfds

        where = os.path.expanduser(data_dir)
        dataset = load_tfds(source.removeprefix("tfds:"), where, strict=strict, **given)
    elif kind == "bundled data sets":
        dataset = _bundled(source, images)
    elif kind == "folders of images":
        dataset = load_folder(path, strict=strict, **given)
    elif kind == "tables":
        dataset = replace(load_table(path, **given), name=path.stem)
    else:
        dataset = replace(load_npz(path), name=path.stem)
    return replace(dataset, notices=(facts(dataset), *dataset.notices, *class_remarks(dataset)))


TAKES = {
    "label_regex": ("folders of images",),
    "group_regex": ("folders of images", "TFDS data sets"),
    "label_column": ("tables", "folders of images"),
    "group_column": ("tables", "folders of images"),
}


def suitable(source: str, options: Mapping[str, str]) -> dict[str, str]:
    """Those of the options in `TAKES` that a data set of this kind takes. DataError: it is nothing that can be read."""
    kind = _kind(source, Path(os.path.expanduser(source)))
    return {name: value for name, value in options.items() if kind in TAKES[name]}


def _kind(source: str, path: Path) -> str:
    """What `source` is; a DataError where it is nothing that can be read."""
    if source in PUBLISHED or source.startswith("tfds:"):
        return "TFDS data sets"
    if source in BUNDLED:
        return "bundled data sets"
    if not source or not os.path.exists(path):
        raise DataError(_unknown(source))
    if os.path.isdir(path):
        return "folders of images"
    if not os.path.isfile(path):
        raise DataError(f"{path}: not a regular file")  # a pipe would be waited for
    suffix = path.suffix.lower()
    if suffix not in (".npz", *SUFFIXES):
        raise DataError(f"{path}: a .npz, .csv, .tsv or .parquet file, or a folder of images is expected")
    return ".npz files" if suffix == ".npz" else "tables"


def _bundled(source: str, images: bool) -> Dataset:
    from sklearn import datasets

    bunch: Any = getattr(datasets, BUNDLED[source])()
    inputs = bunch.images / bunch.images.max() if images and "images" in bunch else bunch.data
    names = None if inputs.ndim > 2 else bunch.feature_names
    return from_arrays(source, inputs, bunch.target, class_names=bunch.target_names, feature_names=names)


def _unknown(source: str) -> str:
    if "/" in source or "\\" in source or source.lower().endswith((".npz", *SUFFIXES)):
        return f"{source}: no such file or folder"
    names = [*BUNDLED, *PUBLISHED]
    wanted = source.lower().replace("_", "-")
    close = [name for name in names if difflib.get_close_matches(wanted, [name.replace("_", "-")])]
    guess = f"Did you mean {' or '.join(close)}? " if close else ""
    known = f"Bundled are {', '.join(BUNDLED)}; or give a .npz or .csv file, a folder of images or tfds:NAME"
    return f"{source}: no such data set, file or folder. {guess}{known}"
