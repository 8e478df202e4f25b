"""Batch active learning with a learned acquisition policy, in pure-functional JAX.

    data = jaxal.load("digits")
    results = jaxal.compare(data, ["ddqn", "margin", "typiclust"], budget=60)
    print(results)

The public names are in `__init__.pyi`; they are loaded when they are asked for, so that `jaxal --help` imports no JAX.
Whatever is not among them may change from version to version.
"""

from typing import Any

import lazy_loader

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """What is public, and the version; both when they are asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("jaxal")
    return _public(name)
