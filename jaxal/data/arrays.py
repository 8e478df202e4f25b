"""Arrays in memory as a `Dataset`: what they may hold, and how bad values are handled.

Whatever cannot be used is an error of one line; whatever was changed is a notice.
"""

import numpy as np

from jaxal.data.assemble import distinct
from jaxal.data.dataset import DataError, Dataset, Unlabelled, number_groups
from jaxal.data.features import read_features
from jaxal.data.image_arrays import read_image_arrays
from jaxal.data.images import digest
from jaxal.data.labels import find_labels, number_labels
from jaxal.data.layout import SPLITS
from jaxal.data.wording import few


def from_arrays(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    *,
    class_names: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    split: np.ndarray | None = None,
    names: np.ndarray | None = None,
    feature_names: np.ndarray | None = None,
) -> Dataset:
    """Arrays as a `Dataset`, with a notice for each thing that was changed.

    Args:
      name: begins every error message.
      X: [n, D] numeric features, NaN where a value is missing (see `features.read_features`), or images (see
        `image_arrays.read_image_arrays`). Of images that are exactly equal one stays, as in `folder.load_folder`;
        equal rows of features may be two patients, and all stay.
      y: [n] class labels, or one-hot [n, C]; a row without one is unlabelled (see `labels.find_labels`).
      class_names: [C] names of the classes 0..C-1, or of the values of `y` in their order.
      groups: [n] numbers or strings.
      split: [n] strings, "train", "val" (or "valid", "validation") or "test", in any case.
      names: [n] strings, where each row came from; by default its number.
      feature_names: [D] strings, for notices.

    Raises:
      DataError: one line, what is wrong with which array.
    """
    raw, y = np.asarray(X), np.asarray(y)
    if raw.ndim not in (2, 3, 4) or 0 in X.shape:
        expected = "[n, D] features, or images [n, H, W] or [n, H, W, channels]"
        raise DataError(f"{name}: X has shape {raw.shape}; expected are {expected}")
    if raw.dtype.kind not in "biuf":
        raise DataError(f"{name}: X has type {raw.dtype}; numbers are expected")
    n, images = len(raw), raw.ndim > 2
    columns = None if feature_names is None or images else _feature_names(name, feature_names, raw.shape[1])
    inputs, seen = read_image_arrays(name, raw) if images else read_features(name, raw, columns)
    one_hot = y.ndim == 2 and len(y) == n and y.shape[1] > 1
    y, labelled, found = find_labels(name, y if one_hot else _column(name, "y", y, n, complete=False), class_names)
    official = None if split is None else _official(name, _column(name, "split", np.asarray(split), n))
    groups = None if groups is None else _column(name, "groups", np.asarray(groups), n)
    named = None if names is None else _column(name, "names", np.asarray(names), n).astype(str)
    rows, others, copies = _distinct(name, raw, y, labelled, official) if images else (*_apart(labelled), [])
    labels, classes, numbered = number_labels(name, y[rows], class_names)
    if named is None and len(rows) < n:
        named = np.array([f"row {row}" for row in range(n)])
    part = lambda array, chosen: None if array is None else array[chosen]
    if groups is not None:
        kept = np.concatenate([rows, others])
        groups = number_groups(name, groups[kept], part(official, kept), labelled[kept])
    unlabelled = None
    if len(others):
        assert named is not None
        unlabelled = Unlabelled(inputs[others], named[others], part(groups, slice(len(rows), None)))
    return Dataset(
        name,
        inputs if len(rows) == n else inputs[rows],
        labels,
        classes,
        part(groups, slice(len(rows))),
        part(official, rows),
        (*seen, *copies, *found, *numbered),
        part(named, rows),
        unlabelled,
    )


def _apart(labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows with a label, and those without."""
    return np.flatnonzero(labelled), np.flatnonzero(~labelled)


def _distinct(
    name: str, X: np.ndarray, y: np.ndarray, labelled: np.ndarray, official: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """As `_apart`, of images [n, ...] without exact copies; and notices."""
    digests = np.array([digest(np.ascontiguousarray(image).tobytes()) for image in X])
    splits = np.full(len(X), "") if official is None else official
    rows, others = _apart(labelled)
    places = [f"row {row}" for row in rows]
    try:
        stay, notices = distinct(digests[rows].tolist(), places, y[rows].tolist(), splits[rows].tolist(), "image")
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    first = np.unique(digests[others], return_index=True)[1]
    return rows[stay], np.sort(others[first[~np.isin(digests[others][first], digests[rows])]]), notices


def _texts(values: np.ndarray) -> np.ndarray:
    """Byte strings as str; other arrays as they are."""
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _column(name: str, key: str, values: np.ndarray, n: int, complete: bool = True) -> np.ndarray:
    """`values` [n], strings as str; an error if there are others than n, or (if they must be complete) some missing."""
    if values.shape == (n, 1):
        values = values[:, 0]
    if values.shape != (n,):
        raise DataError(f"{name}: {key} has shape {values.shape}; one value for each of the {n:,} rows is expected")
    if values.dtype.kind not in "biufSU":
        raise DataError(f"{name}: {key} has type {values.dtype}; whole numbers or strings are expected")
    values = _texts(values)
    missing = values == "" if values.dtype.kind == "U" else np.isnan(values)
    if complete and missing.any():
        raise DataError(f"{name}: {key} is missing in {missing.sum():,} rows (first: row {missing.argmax()})")
    return values


def _official(name: str, split: np.ndarray) -> np.ndarray:
    texts = np.array([str(text).strip().lower() for text in split])
    unknown = sorted({str(text) for text in split[~np.isin(texts, list(SPLITS))]})
    if unknown:
        raise DataError(f"{name}: split holds {few(unknown)}; expected are {', '.join(SPLITS)}")
    return np.array([SPLITS[text] for text in texts])


def _feature_names(name: str, feature_names: np.ndarray, columns: int) -> list[str]:
    names = _texts(np.asarray(feature_names))
    if names.shape != (columns,) or names.dtype.kind != "U":
        raise DataError(
            f"{name}: feature_names has shape {names.shape}; a string for each of {columns:,} columns is expected"
        )
    return [str(text) for text in names]
