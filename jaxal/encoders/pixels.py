"""The encoder that does nothing: images flattened, features as they are (the setting of LAL-RL)."""

from functools import cache

import jax

from jaxal.encoders.encoder import Encoder, stateless


def flatten(images: jax.Array) -> jax.Array:
    """[n, ...] -> [n, product of the rest]."""
    return images.reshape(len(images), -1)


@cache
def make() -> Encoder:
    """The pixels themselves, 0..1, flattened."""
    return stateless("pixels", flatten)
