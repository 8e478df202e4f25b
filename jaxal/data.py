"""Data sets: what they hold, the bundled ones, `.npz` files, and how bad values are handled.

Everything here is host-side NumPy. `load` is the one entry point; image folders are read by `images.py`, which
returns the same `Dataset`, and `splits.py` cuts a `Dataset` into disjoint parts.
"""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np


class DataError(ValueError):
    """Input that cannot be used. Its message is one line: what, where, and what would be right."""


@dataclass(frozen=True)
class Dataset:
    """A labelled data set.

    inputs: [n, D] float32 features, [n, H, W, C] uint8 images, or a lazily decoded sequence of images.
    labels: [n] int32, 0..C-1.
    classes: C names.
    groups: [n] int32; rows of one group (a patient) never stand on two sides of a split. None: every row its own.
    official: [n] str, the split that the data set's authors put each row in ("train", "val", "test"), or None.
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
        inputs = self.inputs[rows] if isinstance(self.inputs, np.ndarray) else [self.inputs[i] for i in rows]
        return replace(
            self, inputs=inputs, labels=self.labels[rows], groups=part(self.groups), official=part(self.official)
        )

    def noting(self, *notices: str) -> "Dataset":
        """The same data set with further notices."""
        return replace(self, notices=(*self.notices, *notices))
