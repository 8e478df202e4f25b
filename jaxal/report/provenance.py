"""What ran where: versions, the device, the revision of the source tree."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal.seeds import settings


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
