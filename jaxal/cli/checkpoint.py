"""Saving and loading on the host; the only module that knows Orbax."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp


class CheckpointError(ValueError):
    """A checkpoint that cannot be used. Its message is one line."""


def save(path: Path, tree: Any) -> None:
    """Writes a pytree of arrays to a new folder, or over the one there; an interruption waits until it is whole."""
    with _interruption_held():
        ocp.save(str(path.resolve()), tree, overwrite=True)


@contextmanager
def _interruption_held() -> Iterator[None]:
    """A Ctrl-C inside is raised at the end: within Orbax's event loop it may be lost, or be told of at length."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = []
    handler = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        raise KeyboardInterrupt


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
