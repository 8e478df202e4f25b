"""Encoders by name. A new one is a module with a factory, and a line in `ENCODERS`."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from jaxal.encoders import efficientnet_lite, pixels, resnet
from jaxal.encoders.encoder import Encoder, Encoding, Variables, stateless
from jaxal.registry import Registry

__all__ = ["ENCODERS", "Encoder", "Encoding", "Variables", "make_encoder", "stateless"]

ENCODERS: Registry[Callable[..., Encoder]] = Registry(
    "encoder",
    {
        "pixels": pixels.make,
        "resnet18": partial(resnet.make, 18),
        "resnet34": partial(resnet.make, 34),
        "resnet50": partial(resnet.make, 50),
        "resnet101": partial(resnet.make, 101),
        "resnet152": partial(resnet.make, 152),
        "efficientnet-lite0": efficientnet_lite.make,
    },
    lambda given: (lambda: given) if isinstance(given, Encoder) else given,
)


def make_encoder(name: str, **options: Any) -> Encoder:
    """The encoder of that name; `options` go to its factory (ResNets: `width`, `dtype`, `recompute`).

    Raises:
      ValueError: one line, for a name that is not in `ENCODERS`, or an option that its factory does not have.
    """
    factory = ENCODERS[name]
    if foreign := options.keys() - inspect.signature(factory).parameters.keys():
        raise ValueError(f"encoder {name} has no {', '.join(sorted(foreign))}; leave it out")
    return factory(**options)
