"""The paper's acquisition noise: zoom, rotation, multiplicative Gaussian noise, for a fraction of the pool.

Section 4.4.2: "We randomly augment the training images by randomly zooming the images, rotating them by up to
+-pi/12 radians, and adding random Gaussian multiplicative noise", for 10%, 50% and 100% of the training set.
Every image draws from `fold_in(key, its row)`, so what an image looks like depends neither on the batch it is
computed in nor on which other images are noisy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np

from jaxal.data.splits import Split


@dataclass(frozen=True)
class NoiseConfig:
    """Ranges of the noise. The paper gives the rotation; the others are the defaults of MONAI, which it used.

    rotation: radians; the angle is uniform within +-rotation.
    zoom: the factor is uniform between the two (`RandZoom`); above 1 magnifies.
    spread: standard deviation of the multiplicative noise, itself uniform between 0 and this
        (`RandGaussianNoise`), around 1.
    """

    rotation: float = math.pi / 12
    zoom: tuple[float, float] = (0.9, 1.1)
    spread: float = 0.1

    def __post_init__(self):
        if not 0 <= self.rotation <= math.pi:
            raise ValueError(f"rotation {self.rotation} is not within 0 and pi")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"zoom {self.zoom} is not two positive factors in rising order")
        if self.spread < 0:
            raise ValueError(f"spread {self.spread} is negative")


PAPER = NoiseConfig()


class Noise(NamedTuple):
    """A key and the ranges: with an image's row, all that its noisy version depends on."""

    key: jax.Array
    config: NoiseConfig = PAPER


def noisy_rows(key: jax.Array, rows: np.ndarray, fraction: float) -> np.ndarray:
    """Which of `rows` get noise: round(fraction * m) of them, in rising order.

    rows: [m] int, the pool. A row's turn is drawn from the key and the row alone, so a larger fraction holds
    a smaller one's rows, and the order of `rows` does not matter. Consumes the key.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"noise fraction {fraction} is not within 0 and 1")
    turns = jax.vmap(lambda row: jax.random.uniform(jax.random.fold_in(key, row)))(jnp.asarray(rows, jnp.int32))
    chosen = np.argsort(np.asarray(turns), kind="stable")[: round(fraction * len(rows))]
    return np.sort(np.asarray(rows)[chosen])


def noisy_copies(
    keys: jax.Array, splits: Sequence[Split], fraction: float, count: int
) -> tuple[np.ndarray, list[Split]]:
    """Which rows need a noisy copy, and the splits in which the copies stand for the clean rows.

    The copy of `rows[k]` is to be row `count + k`, behind the `count` clean rows of the data set. In the pool
    and the source pool of each split, `fraction` of the rows is replaced, drawn from the split's own key of `keys`;
    all other parts stay clean. Splits share copies where they can. Consumes the keys.
    """
    chosen = {
        (i, part): noisy_rows(key, getattr(split, part), fraction)
        for i, (key, split) in enumerate(zip(keys, splits, strict=True))
        for part in ("source_pool", "pool")
    }
    rows = np.unique(np.concatenate([np.zeros(0, int), *chosen.values()]))

    def replaced(i: int, split: Split, part: str) -> np.ndarray:
        pool = getattr(split, part)
        return np.where(np.isin(pool, chosen[i, part]), count + np.searchsorted(rows, pool), pool)

    return rows, [
        split._replace(source_pool=replaced(i, split, "source_pool"), pool=replaced(i, split, "pool"))
        for i, split in enumerate(splits)
    ]


@partial(jax.jit, static_argnames="config")
def add_noise(key: jax.Array, images: jax.Array, rows: jax.Array, config: NoiseConfig = PAPER) -> jax.Array:
    """Noisy versions of images, of the same shape and dtype.

    images: [n, H, W, C] float32 in 0..1, or uint8. rows: [n] int, the images' rows in their data set.
    Consumes the key; equal keys and rows give equal noise.
    """
    exact = images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images
    one = lambda row, image: _distort(jax.random.fold_in(key, row), image, config)
    noisy = jax.vmap(one)(rows, exact)
    return jnp.rint(noisy * 255).astype(jnp.uint8) if images.dtype == jnp.uint8 else noisy


def _distort(key: jax.Array, image: jax.Array, config: NoiseConfig) -> jax.Array:
    """One image [H, W, C] float32 in 0..1, zoomed, rotated, multiplied."""
    turn, scale, strength, grain = jax.random.split(key, 4)
    angle = jax.random.uniform(turn, minval=-config.rotation, maxval=config.rotation)
    zoom = jax.random.uniform(scale, minval=config.zoom[0], maxval=config.zoom[1])
    # A grey image in three channels stays grey: it had one channel when it was acquired.
    grey = jnp.all(image == image[..., :1])

    spread = jax.random.uniform(strength, maxval=config.spread)
    factors = 1 + spread * jax.random.normal(grain, image.shape)
    factors = jnp.where(grey, factors[..., :1], factors)
    return jnp.clip(zoom_and_rotate(image, zoom, angle) * factors, 0, 1)


def zoom_and_rotate(image: jax.Array, zoom: jax.Array, angle: jax.Array) -> jax.Array:
    """Magnify `image` [H, W, C] float32 by `zoom` and turn it by `angle` (radians) about its centre.

    As `scipy.ndimage` does with an affine matrix: counter-clockwise in (row, column) coordinates. One linear
    interpolation for both; beyond the border stands the nearest pixel (MONAI's "border" and "edge").
    """
    height, width, _ = image.shape
    cosine, sine = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
    # From a place in the result to the place in the image, from where its value is pulled.
    row, column = jnp.indices((height, width), jnp.float32)
    row, column = row - (height - 1) / 2, column - (width - 1) / 2
    places = jnp.stack(
        [cosine * row + sine * column + (height - 1) / 2, cosine * column - sine * row + (width - 1) / 2]
    )
    # dm-pix's affine_transform would interpolate between the colour channels too: four times slower here.
    return jnp.asarray(jax.vmap(lambda plane: dm_pix.flat_nd_linear_interpolate(plane, places), -1, -1)(image))
