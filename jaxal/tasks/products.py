"""Matrix products in full float32 precision, which accelerators round by default (an H100 to 10 bits, a TPU to 7)."""

import jax
import jax.numpy as jnp

FULL = jax.lax.Precision.HIGHEST
"""for layers of a network that decides; an encoder's may be rounded, since it is they that take the time"""


def product(x: jax.Array, y: jax.Array) -> jax.Array:
    """`x @ y`."""
    return jnp.matmul(x, y, precision=FULL)
