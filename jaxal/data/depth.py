"""Images of more than 8 bits a channel: which stored values are shown as black and as white.

A file rarely says how many of its 16 bits are used, and its own largest value is no answer: a single bright pixel would
change the brightness of the whole picture, and a classifier could learn that. The answer is one for a whole data set:
the depth, or the range, of all its images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxal.data.wording import few

WHITES = (1, 255, 1023, 4095, 16383, 65535)  # of masks, and of 8, 10, 12, 14 and 16 bits
NOT_FINITE = "pixels that are not finite"
BLOCK = 1 << 20  # values that are in memory as float64 at a time


class Range(NamedTuple):
    """What stored values are seen in one image, or in many."""

    low: float
    high: float
    counts: bool  # whole numbers from 0 on, which have a depth


class Scale(NamedTuple):
    """Stored values that are shown as black and as white."""

    black: float
    white: float


Scales = Mapping[str, Scale]
"""By `Deep.kind`."""


@dataclass(frozen=True)
class Deep:
    """An image that is deeper than 8 bits.

    values: [H, W] grey, or [H, W, 3] or [H, W, 4] colour, the last channel of four being opacity; any numeric type.
    kind: what it has one scale with.
    inverted: whether low values are bright.
    blank: [H, W] bool, pixels without an image, shown black; or None.
    counts: whether whole numbers from 0 on have a depth; else all values have a range.
    """

    values: np.ndarray
    kind: str
    inverted: bool = False
    blank: np.ndarray | None = None
    counts: bool = True

    def range(self) -> Range | None:
        """What values there are, None for a wholly blank image; ValueError where some are not finite."""
        values = self.values if self.blank is None else self.values[~self.blank]
        if not values.size:
            return None
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(high - low):
            raise ValueError(NOT_FINITE)
        whole = values.dtype.kind in "biu" or all(np.array_equal(row, np.rint(row)) for row in values)
        return Range(low, high, bool(self.counts and low >= 0 and whole))

    def shown(self, scale: Scale) -> np.ndarray:
        """The image as uint8 [H, W, 3]: black to white by `scale`, a transparent pixel white."""
        height, width = self.values.shape[:2]
        out = np.empty((height, width, 3), np.uint8)
        step = max(BLOCK // max(width, 1), 1)
        span = scale.white - scale.black
        for start in range(0, height, step):
            rows = slice(start, start + step)
            part = self.values[rows].astype(np.float64)
            part = np.clip((part - scale.black) / span, 0, 1) if span else np.zeros_like(part)
            if part.ndim == 2:
                part = part[..., None]
            if part.shape[-1] == 4:
                part = part[..., :3] * part[..., 3:] + (1 - part[..., 3:])
            if self.inverted:
                part = 1 - part
            if self.blank is not None:
                part = np.where(self.blank[rows, :, None], 0, part)
            out[rows] = np.rint(part * 255)
        return out


def together(ranges: Sequence[Range]) -> Range:
    """The range of all."""
    return Range(min(r.low for r in ranges), max(r.high for r in ranges), all(r.counts for r in ranges))


def scale_of(found: Range) -> Scale:
    """Counts are shown by the depth that their largest value needs, other values by their range."""
    if found.counts:
        return Scale(0, next((white for white in WHITES if found.high <= white), found.high))
    return Scale(found.low, found.high)


def describe(kind: str, names: Sequence[str], ranges: Sequence[Range], total: int) -> str:
    """What is said of the images of one kind, `names` and `ranges` [m], in a data set of `total` images."""
    found = together(ranges)
    scale = scale_of(found)
    read = f"{len(names):,} of {total:,} images ({kind}) read with {scale.black:,g} as black"
    read += f" and {scale.white:,g} as white"
    if not found.counts:
        return f"{read}, the range of all of them"
    below = max((white for white in WHITES if white < scale.white), default=0)
    above = [name for name, one in zip(names, ranges, strict=True) if one.high > below]
    read += f", the depth of their largest value {found.high:,g}"
    return f"{read} (above {below:,} only in {few(above)})" if 100 * len(above) <= len(names) else read
