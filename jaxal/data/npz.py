"""`.npz` files: what the arrays in them are called, and that they cannot fill the memory. Nothing is ever unpickled."""

import math
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxal.data.arrays import from_arrays
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.layout import SPLITS
from jaxal.data.wording import few

KEYS = ("X", "y", "class_names", "groups", "split", "names", "feature_names")
EXPANDED, DENSEST = 1 << 28, 100  # bytes of an array that may come from few packed ones, else so many from each
MOST_CELLS = 1 << 28  # of a sparse matrix, once it is dense
SPARSE = {"csr": ("data", "indices", "indptr"), "csc": ("data", "indices", "indptr"), "coo": ("data", "row", "col")}
_SPLIT = "|".join(SPLITS)
_PARTS = (re.compile(rf"(?P<what>[a-z]+)_(?P<split>{_SPLIT})"), re.compile(rf"(?P<split>{_SPLIT})_(?P<what>[a-z]+)"))
_INPUTS, _LABELS = ("x", "images", "data", "features"), ("y", "labels", "label", "target", "targets")


def load_npz(path: Path) -> Dataset:
    """A `.npz` file as a `Dataset`.

    Its arrays are `X` and `y`, with those that `arrays.from_arrays` takes beside them; or parts of an official split,
    as `X_train`, `y_train`, `X_test`, `y_test` or MedMNIST's `train_images`, `train_labels` and so on; or a matrix of
    `scipy.sparse.save_npz` with `y` beside it.

    Raises:
      DataError: one line, for whatever cannot be read or used.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: an empty file")
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                cut = file.read(4) == b"PK\3\4"
            raise DataError(f"{path}: {'cut short' if cut else 'no .npz file, which is a zip archive of arrays'}")
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            arrays, used, notices = _arrays(path, archive, members)
    except DataError:
        raise
    except Exception as error:  # zip and array readers fed with broken bytes raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise DataError(f"{path}: broken ({reason}); write it again with np.savez") from None
    unread = [key for key in members if key not in used]
    notices += [f"not used in {path.name}: {few(unread)}"] if unread else []
    return from_arrays(str(path), **arrays).noting(*notices)


def _arrays(
    path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]
) -> tuple[dict[str, Any], set[str], list[str]]:
    """What `from_arrays` takes, the keys that were used, and notices."""
    read = lambda keys: {key: _array(archive, members[key], path) for key in keys if key in members}
    parts = _split_parts(members)
    if "X" not in members and parts:
        used = {key for pair in parts.values() for key in pair} | {"class_names", "feature_names"}
        arrays, notices = _joined(path, parts, read(used))
        return arrays, used, notices
    if "X" not in members and {"data", "format", "shape"} <= members.keys():
        used = {"format", "shape", *(key for keys in SPARSE.values() for key in keys), *KEYS}
        if "y" not in members:
            remedy = f"np.savez('with_labels.npz', y=y, **np.load({path.name!r}))"
            raise DataError(f"{path}: a sparse matrix without labels; put y beside it: {remedy}")
        found = read(sorted(used & members.keys()))
        others = {key: array for key, array in found.items() if key in KEYS}
        return {"X": _dense(path, found), **others}, used, ["a sparse matrix, made dense"]
    missing = [key for key in KEYS[:2] if key not in members]
    if missing:
        there = f"it has {few(members)}" if members else "it has none"
        raise DataError(f"{path}: no array {' and no array '.join(missing)}; {there}")
    return read(KEYS), set(KEYS), []


def _split_parts(keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Split -> the keys of its inputs and its labels, where there are both."""
    found: dict[str, dict[bool, str]] = {}
    for key in keys:
        match = next(filter(None, (pattern.fullmatch(key.lower()) for pattern in _PARTS)), None)
        if match and match["what"] in (*_INPUTS, *_LABELS):
            found.setdefault(SPLITS[match["split"]], {})[match["what"] in _LABELS] = key
    return {split: (pair[False], pair[True]) for split, pair in found.items() if len(pair) == 2}


def _joined(
    path: Path, parts: dict[str, tuple[str, str]], found: dict[str, np.ndarray]
) -> tuple[dict[str, Any], list[str]]:
    """The parts of a split behind one another."""
    inputs, labels = ([found[pair[which]] for pair in parts.values()] for which in (0, 1))
    for arrays in (inputs, labels):
        if len({(array.shape[1:], array.dtype.kind) for array in arrays}) > 1:
            told = ", ".join(f"{array.shape} {array.dtype}" for array in arrays)
            raise DataError(f"{path}: the parts of its split do not fit together ({told})")
    split = np.repeat(list(parts), [len(array) for array in inputs])
    others = {key: found[key] for key in ("class_names", "feature_names") if key in found}
    arrays = {"X": np.concatenate(inputs), "y": np.concatenate(labels), "split": split, **others}
    return arrays, [f"official split from {few(key for pair in parts.values() for key in pair)}"]


def _dense(path: Path, found: dict[str, np.ndarray]) -> np.ndarray:
    """The matrix that `scipy.sparse.save_npz` wrote, [n, D]."""
    from scipy import sparse

    name = found["format"].item()
    name = name.decode() if isinstance(name, bytes) else str(name)
    shape = tuple(int(size) for size in np.ravel(found["shape"]))
    if name not in SPARSE or not found.keys() >= {*SPARSE[name]}:
        raise DataError(f"{path}: a sparse matrix of format {name}; expected are {', '.join(SPARSE)}")
    if len(shape) != 2 or min(shape) < 1 or math.prod(shape) > MOST_CELLS:
        most = f"at most {MOST_CELLS:,} cells are made dense; reduce its columns first, as by TruncatedSVD"
        raise DataError(f"{path}: a sparse matrix of shape {shape}; {most}")
    data, one, other = (found[key] for key in SPARSE[name])
    if name == "coo":
        return sparse.coo_matrix((data, (one, other)), shape).toarray()
    matrix = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[name]((data, one, other), shape)
    matrix.check_format(full_check=True)
    return matrix.toarray()


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """One array, once its header has shown that it can be what it says."""
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
    held = max(dtype.itemsize, 4) * math.prod(shape)  # as float32
    if held > max(EXPANDED, DENSEST * member.compress_size) and dtype.kind in "biuf":
        packed = f"{held:,} bytes in memory from {member.compress_size:,} packed"
        raise DataError(f"{where} takes {packed}; if it is meant, write it with np.savez, not compressed")
    with archive.open(member) as file:
        return form.read_array(file, allow_pickle=False)
