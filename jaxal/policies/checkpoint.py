"""Saving and loading arrays on the host; the only module that knows Orbax."""

import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
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
def _interruption_held() -> Generator[None]:
    """A Ctrl-C inside is raised at the end: within Orbax's event loop it may be lost, or end in pages of traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)

    handler = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        raise KeyboardInterrupt


def load(path: Path, like: Any) -> Any:
    """Reads a pytree. Shapes are compared before any array is read.

    Args:
      path: a folder that `save` wrote.
      like: arrays or shape structs of the structure, shapes and dtypes that are expected. Of a dict, the folder may
        hold more entries, which are not read.

    Raises:
      CheckpointError: when the folder is missing, damaged, or holds something else.
    """
    found = shapes(path)
    wanted = like
    if isinstance(like, dict) and isinstance(found, dict):
        wanted = {name: like.get(name, ocp.PLACEHOLDER) for name in {**found, **like}}
        found = {name: found[name] for name in like if name in found}
    expected, there = _flat(like), _flat(found)
    for name in {**expected, **there}:
        if expected.get(name) != there.get(name):
            raise CheckpointError(
                f"{path}: not a checkpoint of this shape ({name} is {there.get(name, 'missing')}, and "
                f"{expected.get(name, 'nothing')} is expected)"
            )
    try:
        loaded = ocp.load(str(path.resolve()), jax.tree.map(_on_device, wanted))
    except Exception as error:  # Orbax fed with broken files raises anything
        raise CheckpointError(f"{path}: damaged ({_reason(error)})") from error
    return {name: loaded[name] for name in like} if isinstance(like, dict) else loaded


def shapes(path: Path) -> Any:
    """Shapes and dtypes of what a folder holds, as dicts of shape structs.

    Raises:
      CheckpointError: when the folder is missing, damaged, or not a checkpoint.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint folder")
    try:
        with _absl_silent():
            found = ocp.metadata(str(path.resolve())).metadata
    except Exception as error:  # as above
        raise CheckpointError(f"{path}: not a checkpoint ({_reason(error)})") from error
    if found is None:  # what Orbax makes of files that it cannot read
        raise CheckpointError(f"{path}: damaged")
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), found)


@contextmanager
def _absl_silent() -> Generator[None]:
    """Orbax logs pages about files that it cannot read, and then goes on without them."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _flat(tree: Any) -> dict[str, str]:
    """Shape and dtype of each array by the names that lead to it."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = lambda path: "/".join(
        str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path
    )
    return {named(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _on_device(x: Any) -> Any:
    if x is ocp.PLACEHOLDER:
        return x
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]))
