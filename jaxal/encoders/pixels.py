"""The encoder that does nothing: images flattened, features as they are (the setting of LAL-RL)."""

from functools import cache

import jax
import jax.numpy as jnp

from jaxal.encoders.encoder import Encoder, Encoding, Variables


def _init(key: jax.Array, classes: int | None = None) -> Variables:
    if classes is not None:
        raise ValueError("encoder pixels has no head: classes must be None")
    return {"params": {}, "batch_stats": {}}


def _apply(variables: Variables, images: jax.Array, train: bool | frozenset[str] = False) -> Encoding:
    return Encoding(images.reshape(len(images), -1).astype(jnp.float32), None, variables["batch_stats"])


@cache
def make() -> Encoder:
    """Inputs [n, ...] -> latents [n, product of the rest] float32; `normalise` brings uint8 to 0..1."""
    return Encoder(
        "pixels",
        _init,
        _apply,
        latent_size=None,
        image_size=None,
        mean=(0.0,),
        std=(255.0,),
        weights=None,
        variable_path=lambda name: None,
    )
