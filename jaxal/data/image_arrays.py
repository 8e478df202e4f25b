"""Arrays of images as uint8 [n, H, W, 1 or 3]."""

import numpy as np

from jaxal.data.dataset import DataError
from jaxal.data.depth import WHITES
from jaxal.data.limits import check_size
from jaxal.data.wording import few

CHANNELS = (1, 3, 4)  # grey, colour, colour with opacity


def read_image_arrays(name: str, X: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Images [n, H, W], [n, H, W, channels] or [n, channels, H, W] as uint8 [n, H, W, 1 or 3], and notices of changes.

    Values may be uint8, deeper whole numbers, or fractions 0..1; all images have one white: 1 for fractions, else that
    of the depth that the largest value of all needs. Transparency is laid on white.

    Raises:
      DataError: another shape, images that are too large or too long, other values.
    """
    images, notices = X[..., None] if X.ndim == 3 else X, []
    if images.shape[-1] not in CHANNELS and images.shape[1] in CHANNELS:
        images = np.moveaxis(images, 1, -1)
        height, width, channels = images.shape[1:]
        notices.append(f"X has shape {X.shape}: read as {channels} channels of {height} x {width}")
    if images.shape[-1] not in CHANNELS:
        raise DataError(f"{name}: X has shape {X.shape}; images have 1, 3 or 4 channels, last or second")
    try:
        check_size(images.shape[2], images.shape[1])
    except ValueError as error:
        raise DataError(f"{name}: X has shape {X.shape}; images of {error}") from None
    if images.dtype != np.uint8:
        images, how = _to_eight_bits(name, images)
        notices.append(how)
    if images.shape[-1] == 4:
        images, how = _on_white(images)
        notices.append(how)
    return images, notices


def _to_eight_bits(name: str, images: np.ndarray) -> tuple[np.ndarray, str]:
    highs = images.reshape(len(images), -1).max(1)
    low, high = images.min(), highs.max()
    whole = images.dtype.kind in "biu" or all(np.array_equal(image, np.rint(image)) for image in images)
    white = next((white for white in (WHITES if whole else (1,)) if low >= 0 and high <= white), None)
    if white is None:
        expected = "whole numbers 0..65535 or fractions 0..1"
        raise DataError(f"{name}: X holds {images.dtype} images from {low} to {high}; expected are {expected}")
    scaled = np.empty(images.shape, np.uint8)
    for row, image in enumerate(images):
        scaled[row] = np.rint(image * np.float32(255 / white))
    below = max((other for other in WHITES if other < white), default=0)
    above = np.flatnonzero(highs > below)
    only = f", above {below} only in {few(f'row {row}' for row in above)}" if 100 * len(above) <= len(highs) else ""
    return scaled, f"{images.dtype} images brought to 8 bits ({white} is white{only})"


def _on_white(images: np.ndarray) -> tuple[np.ndarray, str]:
    """[n, H, W, 4] uint8 to [n, H, W, 3]."""
    if images[..., 3].min() == 255:
        return images[..., :3], "the fourth channel, opacity, is 255 everywhere and was left out"
    out = np.empty((*images.shape[:3], 3), np.uint8)
    for row, image in enumerate(images):
        opacity = image[..., 3:] / np.float32(255)
        out[row] = np.rint(image[..., :3] * opacity + 255 * (1 - opacity))
    return out, "transparency laid on white (the fourth channel is opacity)"
