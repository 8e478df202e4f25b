"""Arrays in memory as a `Dataset`: what they may hold, and how bad values are handled.

Whatever cannot be used is an error of one line; whatever was changed is a notice.
"""

import numpy as np

from jaxal.data.assemble import SPLITS, distinct
from jaxal.data.dataset import DataError, Dataset, number_groups
from jaxal.data.images import digest
from jaxal.data.limits import check_size
from jaxal.data.wording import few


def from_arrays(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    *,
    class_names: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    split: np.ndarray | None = None,
) -> Dataset:
    """Arrays as a `Dataset`, with a notice for each thing that was changed.

    Args:
      name: begins every error message.
      X: [n, D] numeric features, NaN where a value is missing, or images [n, H, W] or [n, H, W, channels]:
        uint8, or deeper, or fractions 0..1, which are brought to uint8. Of images that are exactly equal one
        stays, as in `folder.load_folder`; equal rows of features may be two patients, and all stay.
      y: [n] class labels: whole numbers of any type, or strings.
      class_names: [C] names of the classes 0..C-1, or of the values of `y` in their order.
      groups: [n] numbers or strings.
      split: [n] strings, "train", "val" (or "valid", "validation") or "test".

    Raises:
      DataError: one line, what is wrong with which array.
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim not in (2, 3, 4) or 0 in X.shape:
        expected = "[n, D] features, or images [n, H, W] or [n, H, W, channels]"
        raise DataError(f"{name}: X has shape {X.shape}; expected are {expected}")
    if X.dtype.kind not in "biuf":
        raise DataError(f"{name}: X has type {X.dtype}; numbers are expected")
    inputs, seen = _features(name, X) if X.ndim == 2 else _images(name, X)
    y = _column(name, "y", y, len(X))
    official = None if split is None else _official(name, _column(name, "split", np.asarray(split), len(X)))
    groups = None if groups is None else _column(name, "groups", np.asarray(groups), len(X))
    if X.ndim > 2:
        rows, copies = _distinct(name, X, y, official)
        if copies:
            inputs, y, seen = inputs[rows], y[rows], [*seen, *copies]
            official = None if official is None else official[rows]
            groups = None if groups is None else groups[rows]
    labels, classes, renamed = _labels(name, y, class_names)
    if groups is not None:
        groups = number_groups(name, groups, official)
    return Dataset(name, inputs, labels, classes, groups, official, (*seen, *renamed))


def _features(name: str, X: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """[n, D] float32, and notices of what is missing or constant."""
    with np.errstate(over="ignore"):
        x = X.astype(np.float32)
    infinite = np.isinf(x).sum(0)
    if infinite.any():
        worst = f"column {infinite.argmax()} of X has {infinite.max():,} infinite values (or beyond float32)"
        others = f", {np.sum(infinite > 0) - 1:,} more columns have some" if np.sum(infinite > 0) > 1 else ""
        raise DataError(f"{name}: {worst}{others}; use NaN for missing values")
    missing = np.isnan(x)
    empty = missing.all(0)
    constant = np.fmin.reduce(x, 0) == np.fmax.reduce(x, 0)
    if np.all(empty | constant):
        raise DataError(f"{name}: no column of X varies; there is nothing to learn from")
    notices = []
    if missing.any():
        where = f"{np.sum(missing.any(1)):,} rows and {np.sum(missing.any(0)):,} columns"
        notices.append(f"{missing.sum():,} missing values in {where}: filled with the pool's medians")
    if empty.any():
        notices.append(f"columns without any value, not used: {few(np.flatnonzero(empty))}")
    if constant.any():
        notices.append(f"constant columns, not used: {few(np.flatnonzero(constant))}")
    return x, notices


def _images(name: str, X: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """[n, H, W, channels] uint8, and a notice where the values had to be brought to that."""
    images = X[..., None] if X.ndim == 3 else X
    if images.shape[-1] not in (1, 3):
        raise DataError(f"{name}: X has shape {X.shape}; images have 1 or 3 channels, in the last axis")
    try:
        check_size(images.shape[2], images.shape[1])
    except ValueError as error:
        raise DataError(f"{name}: X has shape {X.shape}; images of {error}") from None
    if images.dtype == np.uint8:
        return images, []
    low, high = images.min(), images.max()
    whole = images.dtype.kind in "biu" or np.array_equal(images, np.rint(images))
    tops = (1, 255, 4095, 65535) if whole else (1,)  # white of fractions, and of 8, 12 and 16 bits
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if top is None:
        expected = "whole numbers 0..65535 or fractions 0..1"
        raise DataError(f"{name}: X holds {X.dtype} images from {low} to {high}; expected are {expected}")
    scaled = np.rint(images * np.float32(255 / top)).astype(np.uint8)
    return scaled, [f"{X.dtype} images brought to 8 bits ({top} is white)"]


def _distinct(name: str, X: np.ndarray, y: np.ndarray, official: np.ndarray | None) -> tuple[list[int], list[str]]:
    """The rows of images [n, ...] that stay when exact copies go, and notices."""
    digests = [digest(np.ascontiguousarray(image).tobytes()) for image in X]
    names = [f"row {row}" for row in range(len(X))]
    splits = [""] * len(X) if official is None else official.tolist()
    try:
        return distinct(digests, names, y.tolist(), splits, "image")
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _column(name: str, key: str, values: np.ndarray, n: int) -> np.ndarray:
    """`values` [n], strings as str; an error if there are others than n, or some are missing."""
    if values.shape == (n, 1):
        values = values[:, 0]
    if values.shape != (n,):
        raise DataError(f"{name}: {key} has shape {values.shape}; one value for each of the {n:,} rows is expected")
    if values.dtype.kind not in "biufSU":
        raise DataError(f"{name}: {key} has type {values.dtype}; whole numbers or strings are expected")
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    missing = values == "" if values.dtype.kind == "U" else np.isnan(values)
    if missing.any():
        raise DataError(f"{name}: {key} is missing in {missing.sum():,} rows (first: row {missing.argmax()})")
    return values


def _labels(name: str, y: np.ndarray, class_names: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """[n] int32 labels 0..C-1, the names of the classes, and notices."""
    if y.dtype.kind == "f":
        fractions = (y != np.rint(y)) | (np.abs(y) > 2**53)
        if fractions.any():
            raise DataError(f"{name}: y holds {y[fractions][0]}; class labels are whole numbers or strings")
    values, labels, counts = np.unique(y, return_inverse=True, return_counts=True)
    shown = [f"{value:.0f}" if y.dtype.kind == "f" else str(value) for value in values]
    if len(values) < 2:
        raise DataError(f"{name}: one class only ({few(shown)}); two or more are expected")
    if counts.min() < 2:
        single = [shown[i] for i in np.flatnonzero(counts < 2)]
        raise DataError(f"{name}: classes with a single row in y: {few(single)}; leave them out or give more rows")

    classes, notices, numbered = shown, [], y.dtype.kind in "iuf"
    if class_names is not None:
        names = _class_names(name, class_names)
        places = {text: place for place, text in enumerate(names)} if y.dtype.kind == "U" else {}
        if set(shown) <= places.keys():
            rank = np.argsort([places[text] for text in shown], kind="stable")
            labels, shown = np.argsort(rank)[labels], [shown[i] for i in rank]
            used = sorted(places[text] for text in shown)
        elif numbered and values[0] >= 0 and values[-1] < len(names):
            used = [int(value) for value in values]
        elif y.dtype.kind != "U" and len(names) == len(values):
            used = list(range(len(names)))
        else:
            theirs = f"{len(names)} names ({few(names)})"
            raise DataError(f"{name}: class_names has {theirs}, and y {len(values)} classes ({few(shown)})")
        classes = [names[i] for i in used]
        if len(used) < len(names):
            unused = [text for place, text in enumerate(names) if place not in used]
            notices.append(f"classes without a row left out: {few(unused)}")
    if not numbered or not np.array_equal(values, np.arange(len(values))):
        notices.append(f"labels numbered: {few(f'{text} is {number}' for number, text in enumerate(shown))}")
    elif y.dtype.kind == "f":
        notices.append(f"{y.dtype} labels read as whole numbers")
    return labels.astype(np.int32), tuple(classes), notices


def _class_names(name: str, class_names: np.ndarray) -> list[str]:
    names = np.asarray(class_names)
    if names.ndim != 1 or names.dtype.kind not in "SUiu":
        raise DataError(f"{name}: class_names has shape {names.shape} and type {names.dtype}; strings [C] are expected")
    texts = [str(text) for text in (np.char.decode(names, "utf-8", "replace") if names.dtype.kind == "S" else names)]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise DataError(f"{name}: class_names has a name twice: {few(twice)}")
    return texts


def _official(name: str, split: np.ndarray) -> np.ndarray:
    unknown = sorted({str(text) for text in split} - SPLITS.keys())
    if unknown:
        raise DataError(f"{name}: split holds {few(unknown)}; expected are {', '.join(SPLITS)}")
    return np.array([SPLITS[str(text)] for text in split])
