"""What ran where: versions, the device, the revision and the contents of the source tree."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal.seals import fingerprint
from jaxal.seeds import settings

COMPUTE = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn")  # libraries that the numbers come from


def environment() -> dict[str, Any]:
    """The `environment` part of a summary."""
    device = jax.devices()[0]
    return {
        "jaxal": importlib.metadata.version("jaxal"),
        "jax": jax.__version__,
        "flax": importlib.metadata.version("flax"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{len(jax.devices())} x {device.platform} ({device.device_kind})",
        "cores": os.cpu_count(),
        "git": _git_revision(),
        **settings(),
    }


def code(plugins: Iterable[Path] = ()) -> str:
    """What computes, in a line: the version of jaxal and the contents of its files and of plug-ins; of libraries."""
    package = Path(__file__).resolve().parent.parent
    files = [*sorted(package.rglob("*.py")), *plugins]
    contents = fingerprint(*(np.frombuffer(file.read_bytes(), np.uint8) for file in files))
    versions = [f"{name} {importlib.metadata.version(name)}" for name in COMPUTE]
    return ", ".join([f"jaxal {importlib.metadata.version('jaxal')} ({contents[:12]})", *versions])


def _git_revision() -> str | None:
    """The revision of the source tree that jaxal was imported from, where it is one."""
    folder = Path(__file__).resolve().parent
    ask = lambda *words: subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    try:
        if not ask("ls-files", Path(__file__).name).stdout.strip():
            return None
        return ask("describe", "--always", "--dirty").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
