"""What a labelled data set is, and what is said of one that cannot be used. `data.load` makes them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np


class DataError(ValueError):
    """Input that cannot be used. Its message is one line: what, where, and what would be right."""


@dataclass(frozen=True)
class Dataset:
    """A labelled data set.

    inputs: [n, D] float32 features, [n, H, W, C] uint8 images, or a lazily decoded sequence of images.
      Features are NaN where a value is missing: see `fill_missing`.
    labels: [n] int32, 0..C-1.
    classes: C names.
    groups: [n] int32; rows of one group (a patient) never stand on two sides of a split. None: every row is
      its own.
    official: [n] str, the split that the data set's authors put each row in ("train", "val", "test"), or
      None.
    notices: one line for each thing that was repaired, dropped or skipped on the way in.
    """

    name: str
    inputs: Any
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray | None = None
    official: np.ndarray | None = None
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "Dataset":
        """The same data set restricted to `rows` [m] int, in that order."""
        part = lambda x: None if x is None else x[rows]
        return replace(
            self,
            inputs=self.inputs[rows],
            labels=self.labels[rows],
            groups=part(self.groups),
            official=part(self.official),
        )

    def noting(self, *notices: str) -> "Dataset":
        """The same data set with further notices."""
        return replace(self, notices=(*self.notices, *notices))


def few(items: Iterable[Any]) -> str:
    """The first few of a list, in one line, for messages."""
    texts = [" ".join(str(item).split())[:60] for item in items]
    return ", ".join(texts[:5]) + (f" and {len(texts) - 5:,} more" if len(texts) > 5 else "")


def number_groups(name: str, groups: np.ndarray, official: np.ndarray | None) -> np.ndarray:
    """Groups [n] of any values as numbers [n] int32.

    Raises:
      DataError: when there is but one, or one that stands in the official test split [n] and outside of it.
    """
    values, numbers = np.unique(groups, return_inverse=True)
    if len(values) < 2:
        raise DataError(f"{name}: groups has one value only ({few(values)}); a group is never split")
    if official is not None:
        torn = np.intersect1d(groups[official == "test"], groups[official != "test"])
        if len(torn):
            raise DataError(
                f"{name}: groups both in the test split and outside of it: {few(torn)}; if they are not the same, "
                "let the split be part of the group"
            )
    return numbers.astype(np.int32)


def fill_missing(inputs: np.ndarray, pool_rows: np.ndarray) -> np.ndarray:
    """Features [n, D] with each NaN replaced by its column's median over `pool_rows` [P] int alone.

    Held-out rows have no say in it, so nothing of them leaks. A column without any value in the pool becomes
    0 where it is missing. Inputs without NaN are returned as they are.
    """
    missing = np.isnan(inputs)
    if not missing.any():
        return inputs
    filled = inputs.copy()
    for column in np.flatnonzero(missing.any(0)):
        values = inputs[pool_rows, column]
        values = values[~np.isnan(values)]
        filled[missing[:, column], column] = np.median(values) if len(values) else 0.0
    return filled


class Images(NamedTuple):
    """Images of whole data sets and the weights of their encoder, for a classifier that trains on images."""

    pixels: jax.Array | np.ndarray  # [n, height, width, channels] uint8
    variables: Any  # of the encoder, without a head


class Embedded(NamedTuple):
    """A data set and the latents of its rows."""

    dataset: Dataset
    latents: np.ndarray  # [n, D] float32
    images: Images | None = None  # on the host, where the classifier trains on images
    origins: np.ndarray | None = None  # [n] rows of the data set as it was read; None: each is its own
