"""Saving and loading arrays on the host; the only module that knows Orbax."""

import errno
import logging
import os
import re
import shutil
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxal.files import sweep
from jaxal.seals import SealError, check, seal, seal_of


class CheckpointError(ValueError):
    """A checkpoint that cannot be used. Its message is one line."""


def save(path: Path, tree: Any, origin: str, beside: Sequence[Path] = ()) -> None:
    """Writes a pytree of arrays to a new folder, or over the one there, and its seal; an interruption waits until then.

    Args:
      path: the folder.
      tree: the arrays.
      origin: what they were made from, as `seals.fingerprint` gives it.
      beside: files in the folder's own folder that belong to them, and are sealed with them.

    Raises:
      OSError: with the folder as its `filename`, when it cannot be written.
    """
    with _interruption_held():
        try:
            with _absl_silent():
                ocp.save(str(path.resolve()), tree, overwrite=True)
        except Exception as error:  # Orbax tells of a full disk by whatever its threads ran into
            sweep(path.parent)
            code = re.search(r"os_error_code='(\d+)'", str(error))
            number = int(code[1]) if code else getattr(error, "errno", None) or errno.EIO
            raise OSError(number, os.strerror(number), str(path)) from None
        seal(seal_of(path), [path, *beside], origin)


def remove(path: Path) -> None:
    """Takes away a checkpoint folder and its seal, the seal first, so that what may be left counts for nothing."""
    seal_of(path).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


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


def load(path: Path, like: Any, origin: str | None, beside: Sequence[Path] = ()) -> Any:
    """Reads a pytree, once its seal has shown that it is what was written. Shapes are compared before an array is read.

    Args:
      path: a folder that `save` wrote.
      like: arrays or shape structs of the structure, shapes and dtypes that are expected. Of a dict, the folder may
        hold more entries, which are not read.
      origin, beside: as they were given to `save`; without an origin there is no seal, as in version 0.1.0.

    Raises:
      CheckpointError: when the folder is missing, damaged, of another origin, or holds something else.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint folder")
    if origin is not None:
        try:
            check(seal_of(path), [path, *beside], origin)
        except SealError as error:
            raise CheckpointError(str(error)) from None
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
        with _absl_silent():
            loaded = ocp.load(str(path.resolve()), jax.tree.map(_on_device, wanted))
    except Exception as error:  # Orbax fed with broken files raises anything
        raise CheckpointError(f"{path}: damaged ({_reason(error)})") from error
    return {name: loaded[name] for name in like} if isinstance(like, dict) else loaded


def require_finite(path: Path, tree: Any) -> None:
    """Raises CheckpointError when an array of `tree`, which was read from `path`, holds NaN or infinite numbers."""
    for name, leaf in _named(tree).items():
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(np.asarray(leaf)).all():
            raise CheckpointError(f"{path}: {name} holds numbers that are not finite")


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
    """Orbax logs pages about files that it cannot read or write, and then goes on without them."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _flat(tree: Any) -> dict[str, str]:
    """Shape and dtype of each array by the names that lead to it."""
    return {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in _named(tree).items()}


def _named(tree: Any) -> dict[str, Any]:
    """Each array by the names that lead to it."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = lambda path: "/".join(
        str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path
    )
    return {named(path): leaf for path, leaf in leaves}


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _on_device(x: Any) -> Any:
    if x is ocp.PLACEHOLDER:
        return x
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]))
