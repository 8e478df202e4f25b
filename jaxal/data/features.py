"""Columns of numbers as float32 features, which keep what tells the rows apart."""

from collections.abc import Sequence

import numpy as np

from jaxal.data.dataset import DataError
from jaxal.data.wording import few

BLOCK = 64  # columns that are in memory as float64 at a time
FLAT = 2.0**-10  # of the largest value: a column that varies by less loses its detail in float32's 24 bits
TINY = 1e-30  # near the smallest numbers of float32


def read_features(name: str, X: np.ndarray, columns: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """Features [n, D] of any numeric type as float32, and notices of what is missing, constant or was scaled.

    A column is constant where its values are equal as they were given. One whose differences float32 could not hold (a
    large offset, values near zero) is brought to 0..1 first; all others are kept as they are. NaN stays.

    Args:
      name: of the data set, in messages.
      X: [n, D].
      columns: D names of the columns, for messages; by default their numbers.

    Raises:
      DataError: infinite values, or no column that varies.
    """
    columns = [str(column) for column in range(X.shape[1])] if columns is None else columns
    named = lambda chosen: few(text for text, one in zip(columns, chosen, strict=True) if one)
    out = np.empty(X.shape, np.float32)
    infinite, missing = (np.zeros(X.shape[1], int) for _ in range(2))
    constant, scaled = (np.zeros(X.shape[1], bool) for _ in range(2))
    holed = np.zeros(len(X), bool)
    for start in range(0, X.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        x = X[:, part].astype(np.float64)
        infinite[part] = np.sum(np.abs(x) > np.finfo(np.float32).max, 0)
        missing[part], holed = np.isnan(x).sum(0), holed | np.isnan(x).any(1)
        low, high = np.fmin.reduce(x, 0), np.fmax.reduce(x, 0)
        largest = np.maximum(np.abs(low), np.abs(high))
        with np.errstate(invalid="ignore"):
            span = high - low
        constant[part] = low == high
        scaled[part] = (low < high) & ((span < FLAT * largest) | (largest < TINY))
        for column in np.flatnonzero(scaled[part]):
            x[:, column] = (x[:, column] - low[column]) / span[column]
        with np.errstate(over="ignore"):
            out[:, part] = x
    if infinite.any():
        worst = (
            f"column {columns[int(infinite.argmax())]} of X has {infinite.max():,} infinite values (or beyond float32)"
        )
        others = f", {np.sum(infinite > 0) - 1:,} more columns have some" if np.sum(infinite > 0) > 1 else ""
        raise DataError(f"{name}: {worst}{others}; use NaN for missing values")
    empty = missing == len(X)
    if np.all(empty | constant):
        raise DataError(f"{name}: no column of X varies; there is nothing to learn from")
    notices = []
    if missing.any():
        where = f"{holed.sum():,} rows and {np.sum(missing > 0):,} columns"
        notices.append(f"{missing.sum():,} missing values in {where}: filled with the pool's medians")
    if empty.any():
        notices.append(f"columns without any value, not used: {named(empty)}")
    if constant.any():
        notices.append(f"constant columns, not used: {named(constant)}")
    if scaled.any():
        notices.append(f"columns brought to 0..1, since float32 cannot hold their differences: {named(scaled)}")
    return out, notices
