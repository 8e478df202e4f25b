"""What a labelled data set is, and what is said of one that cannot be used. `data.load` makes them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxal.data.wording import few, printable

ROUNDING = 1e-6  # of its mean: a column that deviates by no more is constant

if TYPE_CHECKING:  # reading a data set takes no JAX, whose import takes a second
    import jax


class DataError(ValueError):
    """Input that cannot be used. Its message is one line: what, where, and what would be right."""

    def __init__(self, message: str):
        super().__init__(printable(message))


@dataclass(frozen=True)
class Unlabelled:
    """Rows of a data set that nobody has labelled yet; the fields are as those of `Dataset`."""

    inputs: Any
    names: np.ndarray
    groups: np.ndarray | None

    def __len__(self) -> int:
        return len(self.names)


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
    names: [n] str, where each row came from: a file below the folder, a record, or a row counted from 0 ("row 17").
      None: the rows are those of the source, in its order.
    unlabelled: the rows without a label, which take no part in a simulation. Their groups are numbered with the others.
    """

    name: str
    inputs: Any
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray | None = None
    official: np.ndarray | None = None
    notices: tuple[str, ...] = ()
    names: np.ndarray | None = None
    unlabelled: Unlabelled | None = None

    def __post_init__(self):
        # whatever is shown of a data set on terminals and pages passes through here
        object.__setattr__(self, "name", printable(self.name))
        object.__setattr__(self, "classes", tuple(map(printable, self.classes)))
        object.__setattr__(self, "notices", tuple(map(printable, self.notices)))
        if self.names is not None:
            object.__setattr__(self, "names", np.array([printable(str(name)) for name in self.names], str))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Dataset:
        """The same data set restricted to `rows` [m] int, in that order; the unlabelled rows stay."""
        part = lambda x: None if x is None else x[rows]
        return replace(
            self,
            inputs=self.inputs[rows],
            labels=self.labels[rows],
            groups=part(self.groups),
            official=part(self.official),
            names=part(self.names),
        )

    def noting(self, *notices: str) -> Dataset:
        """The same data set with further notices."""
        return replace(self, notices=(*self.notices, *notices))


def number_groups(
    name: str, groups: np.ndarray, official: np.ndarray | None, labelled: np.ndarray | None = None
) -> np.ndarray:
    """Groups [n] of any values as numbers [n] int32.

    Raises:
      DataError: when the labelled rows ([n] bool; by default all) have but one group, or one that stands in the
        official test split [n] and outside of it.
    """
    values, numbers = np.unique(groups, return_inverse=True)
    inside = slice(None) if labelled is None else labelled
    if len(np.unique(groups[inside])) < 2:
        raise DataError(f"{name}: groups has one value only ({few(values)}); a group is never split")
    if official is not None:
        test = official[inside] == "test"
        torn = np.intersect1d(groups[inside][test], groups[inside][~test])
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


def varying(inputs: np.ndarray) -> np.ndarray:
    """Which columns of features [n, D], missing values aside, are not constant but for rounding: [D] bool."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns without any value
        mean, deviation = np.nanmean(inputs, 0, np.float64), np.nanstd(inputs, 0, np.float64)
    return deviation > ROUNDING * np.abs(mean)


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
