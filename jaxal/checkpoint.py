"""Saving and loading on the host; the only module that knows Orbax."""

from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp


class CheckpointError(ValueError):
    """A checkpoint that cannot be used. Its message is one line."""


def save(path: Path, tree: Any) -> None:
    """Writes a pytree of arrays to a new folder, or over the one there."""
    ocp.save(str(path.resolve()), tree, overwrite=True)


def load(path: Path, like: Any) -> Any:
    """Reads a pytree.

    Args:
      path: a folder that `save` wrote.
      like: arrays or shape structs of the structure, shapes and dtypes that are expected.

    Raises:
      CheckpointError: when the folder is missing, damaged, or holds something else.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint folder")
    try:
        return ocp.load(str(path.resolve()), jax.tree.map(_on_device, like))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint of this shape ({reason[:200]})") from error


def _on_device(x: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]))
