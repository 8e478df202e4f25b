"""Encoders by name. A new one takes a module with a factory, and a line in `ENCODERS`."""

import inspect
from collections.abc import Callable
from functools import partial

from jaxal.encoders import efficientnet_lite, pixels, resnet
from jaxal.encoders.encoder import Encoder, Encoding, Variables

__all__ = ["ENCODERS", "Encoder", "Encoding", "Variables", "make_encoder"]

ENCODERS: dict[str, Callable[..., Encoder]] = {
    "pixels": pixels.make,
    "resnet18": partial(resnet.make, 18),
    "resnet34": partial(resnet.make, 34),
    "resnet50": partial(resnet.make, 50),
    "resnet101": partial(resnet.make, 101),
    "resnet152": partial(resnet.make, 152),
    "efficientnet-lite0": efficientnet_lite.make,
}


def make_encoder(name: str, **options) -> Encoder:
    """The encoder of that name; `options` go to its factory (ResNets: `width`, `dtype`, `recompute`).

    Raises ValueError, on one line, for a name that is not in `ENCODERS`, or an option that its factory has not.
    """
    if name not in ENCODERS:
        raise ValueError(f"encoder {name!r} is not one of {', '.join(ENCODERS)}")
    foreign = options.keys() - inspect.signature(ENCODERS[name]).parameters.keys()
    if foreign:
        raise ValueError(f"encoder {name} has no {', '.join(sorted(foreign))}; leave it out")
    return ENCODERS[name](**options)
