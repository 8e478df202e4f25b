"""Labels of any form as the numbers of classes; what has no label."""

import numpy as np

from jaxal.data.dataset import DataError
from jaxal.data.wording import few, is_utf8


def find_labels(
    name: str, y: np.ndarray, class_names: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """One label a row, [n], of labels `y` [n] or one-hot [n, C]; which rows have one, [n] bool; and notices.

    A row is unlabelled where `y` is NaN or empty, or -1 beside two or more classes from 0 on (scikit-learn's
    convention), unless -1 is one of as many classes as `class_names` [C] has names.

    Raises:
      DataError: columns that are not one-hot, fractions, or no label at all.
    """
    notices = []
    if y.ndim == 2 and y.shape[1] > 1:
        y = _from_one_hot(name, y)
        notices.append("y is one-hot, read as the numbers of its columns")
    unlabelled, sign = _unlabelled(y, None if class_names is None else len(np.atleast_1d(class_names)))
    if unlabelled.all():
        raise DataError(f"{name}: no row has a label ({sign})")
    if unlabelled.any():
        notices.append(f"{unlabelled.sum():,} rows without a label ({sign}) left out of the simulation")
    if y.dtype.kind == "f":
        fractions = ~unlabelled & ((y != np.rint(y)) | (np.abs(y) > 2**53))
        if fractions.any():
            raise DataError(f"{name}: y holds {y[fractions][0]}; class labels are whole numbers or strings")
    return y, ~unlabelled, notices


def number_labels(
    name: str, y: np.ndarray, class_names: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """[n] int32 numbers 0..C-1 of labels `y` [n], the names of the classes, and notices.

    Args:
      name: of the data set, in messages.
      y: [n] whole numbers of any type, or strings; none missing.
      class_names: [C] names of the classes 0..C-1, or of the values of `y` in their order.

    Raises:
      DataError: fewer than two classes, a class of one row, names that do not fit or that are not UTF-8.
    """
    names = None if class_names is None else _class_names(name, class_names)
    values, labels, counts = np.unique(y, return_inverse=True, return_counts=True)
    shown = [f"{value:.0f}" if y.dtype.kind == "f" else str(value) for value in values]
    if len(values) < 2:
        raise DataError(f"{name}: one class only ({few(shown)}); two or more are expected")
    if counts.min() < 2:
        single = [shown[i] for i in np.flatnonzero(counts < 2)]
        raise DataError(f"{name}: classes with a single row in y: {few(single)}; leave them out or give more rows")

    classes, notices, numbered = shown, [], y.dtype.kind in "iuf"
    if names is not None:
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
    foreign = [text for text in classes if not is_utf8(text)]
    if foreign:
        raise DataError(f"{name}: {foreign[0]!a} is no class name in UTF-8, and a report could not hold it")
    return labels.astype(np.int32), tuple(classes), notices


def _from_one_hot(name: str, y: np.ndarray) -> np.ndarray:
    if y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        raise DataError(f"{name}: y has shape {y.shape}; expected is one label a row, or one-hot columns of 0 and 1")
    wrong = np.flatnonzero(y.sum(1) != 1)
    if len(wrong):
        row = wrong[0]
        raise DataError(
            f"{name}: y is one-hot, and {len(wrong):,} rows have no class or several (first: row {row}, with "
            f"{int(y[row].sum())}); one class a row is expected"
        )
    return y.argmax(1)


def _unlabelled(y: np.ndarray, named: int | None) -> tuple[np.ndarray, str]:
    """Which rows have no label, [n] bool, and by what sign."""
    if y.dtype.kind == "U":
        return y == "", "y is empty"
    missing = np.isnan(y)
    if missing.any():
        return missing, "y is NaN"
    values = np.unique(y)
    sign = y.dtype.kind != "b" and values[0] == -1 and len(values) > 2 and len(values) != named
    return (y == -1) & sign, "y is -1; where that is a class, give class_names or strings"


def _class_names(name: str, class_names: np.ndarray) -> list[str]:
    names = np.asarray(class_names)
    if names.ndim != 1 or names.dtype.kind not in "SUiu":
        raise DataError(f"{name}: class_names has shape {names.shape} and type {names.dtype}; strings [C] are expected")
    texts = [str(text) for text in (np.char.decode(names, "utf-8", "replace") if names.dtype.kind == "S" else names)]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise DataError(f"{name}: class_names has a name twice: {few(twice)}")
    return texts
