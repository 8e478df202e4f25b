"""Data sets by their name or path: `load` is the one entry point. Everything here is host-side NumPy.

What arrays may hold is in `arrays.py`; image folders are read by `folder.py`, TFDS data sets by `tfds_builders.py`.
Each returns the same `dataset.Dataset`, which `splits.py` cuts into disjoint parts.
"""

import difflib
import math
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxal.data.arrays import from_arrays
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.folder import load_folder
from jaxal.data.remarks import class_remarks, facts
from jaxal.data.wording import few

BUNDLED = {"digits": "load_digits", "breast-cancer": "load_breast_cancer", "wine": "load_wine"}
PUBLISHED = ("kather2016", "kermany_pneumonia")  # the builders in `tfds_builders.py`
KEYS = ("X", "y", "class_names", "groups", "split", "names", "feature_names")  # of a `.npz` file


def load(
    source: str,
    *,
    label_regex: str | None = None,
    group_regex: str | None = None,
    strict: bool = False,
    data_dir: str | Path = "~/tensorflow_datasets",
    images: bool = False,
) -> Dataset:
    """A data set by its name or path; its first notice says what it holds (see `remarks.facts`).

    Args:
      source: a bundled name (`BUNDLED`), one of the paper's data sets (`PUBLISHED`), `tfds:NAME` for any
        prepared TFDS data set, a `.npz` file (see `arrays.from_arrays` for what it may hold), or a folder of
        images. A name goes before a path: a folder called digits is ./digits.
      label_regex: for folders, see `folder.load_folder`.
      group_regex: for folders and TFDS, where the group of an image stands in its file name.
      strict: an image that cannot be read is an error, not a notice.
      data_dir: where TFDS data sets are.
      images: a bundled data set of images (digits) as images, not as features.

    Raises:
      DataError: one line, for whatever cannot be read or used.
    """
    options = {"label_regex": label_regex, "group_regex": group_regex, "strict": strict}
    dataset = _read(source, data_dir=data_dir, images=images, **options)
    return replace(dataset, notices=(facts(dataset), *dataset.notices, *class_remarks(dataset)))


def _read(
    source: str,
    *,
    label_regex: str | None,
    group_regex: str | None,
    strict: bool,
    data_dir: str | Path,
    images: bool,
) -> Dataset:
    path = Path(os.path.expanduser(source))
    tfds = source in PUBLISHED or source.startswith("tfds:")
    folder = not tfds and source not in BUNDLED and source != "" and os.path.isdir(path)
    if label_regex is not None and not folder:
        raise DataError(f"{source}: a label pattern is for folders of images, and this is none")
    if group_regex is not None and not (folder or tfds):
        raise DataError(f"{source}: a group pattern is for images; a .npz file may hold the groups as `groups` [n]")
    if tfds:
        from jaxal.data.tfds_builders import load_tfds

        where = os.path.expanduser(data_dir)
        return load_tfds(source.removeprefix("tfds:"), where, group_regex=group_regex, strict=strict)
    if source in BUNDLED:
        from sklearn import datasets

        bunch = getattr(datasets, BUNDLED[source])()
        inputs = bunch.images / bunch.images.max() if images and "images" in bunch else bunch.data
        return from_arrays(source, inputs, bunch.target, class_names=bunch.target_names)
    if folder:
        return load_folder(path, label_regex=label_regex, group_regex=group_regex, strict=strict)
    if not source or not os.path.exists(path):
        raise DataError(_unknown(source))
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: a .npz file or a folder of images is expected")
    arrays, unread = _read_npz(path)
    dataset = replace(from_arrays(str(path), **arrays), name=path.stem)
    return dataset.noting(f"not used in {path.name}: {few(unread)}") if unread else dataset


def _unknown(source: str) -> str:
    if "/" in source or "\\" in source or source.endswith(".npz"):
        return f"{source}: no such file or folder"
    names = [*BUNDLED, *PUBLISHED]
    wanted = source.lower().replace("_", "-")
    close = [name for name in names if difflib.get_close_matches(wanted, [name.replace("_", "-")])]
    guess = f"Did you mean {' or '.join(close)}? " if close else ""
    known = f"Bundled are {', '.join(BUNDLED)}; or give a .npz file, a folder of images or tfds:NAME"
    return f"{source}: no such data set, file or folder. {guess}{known}"


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of a `.npz` file that have a meaning here, and the names of the others."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: an empty file")
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                cut = file.read(4) == b"PK\3\4"
            raise DataError(f"{path}: {'cut short' if cut else 'no .npz file, which is a zip archive of arrays'}")
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            missing = [key for key in KEYS[:2] if key not in members]
            if missing:
                there = f"it has {few(members)}" if members else "it has none"
                raise DataError(f"{path}: no array {' and no array '.join(missing)}; {there}")
            arrays = {key: _array(archive, members[key], path) for key in KEYS if key in members}
        return arrays, [key for key in members if key not in KEYS]
    except DataError:
        raise
    except Exception as error:  # zip and array readers fed with broken bytes raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise DataError(f"{path}: broken ({reason}); write it again with np.savez") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """One array, once its header has shown that it can be what it says; nothing is ever unpickled."""
    form = np.lib.format
    where = f"{path}: {member.filename.removesuffix('.npy')}"
    with archive.open(member) as file:
        readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
        shape, _, dtype = readers[form.read_magic(file)](file)
    if dtype.hasobject:
        raise DataError(f"{where} holds Python objects (dtype object), which are not read; save numbers or strings")
    size = dtype.itemsize * math.prod(shape)
    if size > 1032 * member.compress_size:  # the most that deflate can make of a byte
        raise DataError(f"{where} says it has shape {shape}, {size:,} bytes, and has {member.compress_size:,} packed")
    with archive.open(member) as file:
        return form.read_array(file, allow_pickle=False)
