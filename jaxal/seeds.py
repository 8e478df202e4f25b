"""What makes a result come out the same again: keys that depend on a seed's number alone, and JAX's own settings.

A seed's numbers are the same whether it runs alone or among others, from whichever first seed it is counted: every use
of randomness has a key of its own, folded in from the number of the seed and the name of the use.
"""

import os
import zlib
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import chex
import jax
import jax.numpy as jnp

GENERATOR = "threefry2x32"
PINNED: dict[str, Any] = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": GENERATOR,
    "jax_threefry_partitionable": True,  # a longer draw begins with the numbers of a shorter one: padding changes none
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
}
"""JAX's settings that would change results, or break them, and the values that jaxal works with."""
RECORDED = ("jax_default_matmul_precision", "jax_disable_jit")
"""JAX's settings that may differ from their defaults, and are then reported."""


def seed_key(seed: int, use: str) -> chex.PRNGKey:
    """The key of one use of randomness, such as "compare", in one seed."""
    return jax.random.fold_in(jax.random.key(seed, impl=GENERATOR), zlib.crc32(use.encode()))


def seed_keys(seeds: Sequence[int], use: str) -> chex.PRNGKey:
    """`seed_key` of each seed: keys [seeds]."""
    return jnp.stack([seed_key(seed, use) for seed in seeds])


def changed() -> list[str]:
    """JAX's settings that were changed from outside and would change results: `NAME=VALUE` each."""
    found = {name: getattr(jax.config, name) for name in PINNED}
    return [f"{name.upper()}={value}" for name, value in found.items() if value != PINNED[name]]


@contextmanager
def pinned() -> Generator[None]:
    """JAX as jaxal works with it, whatever it is set to outside; as before at the end.

    Raises:
      ValueError: one line, when JAX has no device to work on.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter where the platform that was asked for is not there
        told = f": {' '.join(str(error).split())[:200]}" if str(error) else ""
        asked = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        remedy = f"; JAX_PLATFORMS is {asked}, so unset it, or let it be cpu" if asked else ""
        raise ValueError(f"JAX finds no device to work on{told}{remedy}") from None
    with ExitStack() as stack:
        for name, value in PINNED.items():
            stack.enter_context(getattr(jax, name.removeprefix("jax_"))(value))
        yield


def settings() -> dict[str, str]:
    """How random numbers are made, and what of the surroundings may change last digits, where it is not JAX's default.

    Of the report; within `pinned`.
    """
    look = lambda name: getattr(jax.config, name)
    made = "partitionable" if look("jax_threefry_partitionable") else "not partitionable"
    numbers = {"random numbers": f"{look('jax_default_prng_impl')}, {made}"}
    told = {name: str(look(name)) for name in RECORDED if look(name) not in (None, False)}
    return numbers | told | ({"XLA_FLAGS": flags} if (flags := os.environ.get("XLA_FLAGS")) else {})
