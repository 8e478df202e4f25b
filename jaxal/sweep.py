"""Seeds side by side: by `vmap` on a device, and by a mesh over the devices that there are."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

AXIS = "seed"


def over_seeds(function: Callable, shared: tuple[int, ...] = ()) -> Callable:
    """`function` of one seed as a function of all.

    Args:
      function: pure, of arrays.
      shared: places of the arguments that all seeds share; every leaf of the others has a leading seed axis, of a
        length that `padded` made.
    """

    def all_seeds(*arguments):
        places = range(len(arguments))
        batched = jax.vmap(function, [None if i in shared else 0 for i in places])
        specs = tuple(PartitionSpec() if i in shared else PartitionSpec(AXIS) for i in places)
        return jax.shard_map(batched, mesh=_mesh(), in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False)(
            *arguments
        )

    return all_seeds


def padded(tree: Any) -> Any:
    """Every leaf [seeds, ...] with its last seed repeated, until the devices share them evenly."""
    return jax.tree.map(lambda x: jnp.concatenate([x, *([x[-1:]] * (-len(x) % len(_mesh().devices)))]), tree)


def gathered(tree: Any, seeds: int) -> Any:
    """The first `seeds` of every leaf, on the host."""
    return jax.tree.map(lambda x: np.asarray(x)[:seeds], jax.device_get(tree))


def _mesh() -> Mesh:
    return Mesh(np.array(jax.devices()), (AXIS,))
