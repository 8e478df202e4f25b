"""Tensors of a file to an encoder's variables, whatever stands before their names and whatever head follows.

People train an encoder as a part of something: every name begins with `module.` or `model.backbone.`, and behind the
encoder stand layers of their own. Both are told by structure: the encoder is where its names are, all of them, and a
head is what takes its latents.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxal.data.wording import few
from jaxal.encoders.encoder import Encoder
from jaxal.encoders.torch_pickle import WeightsError

HEAD = ("params/head/kernel", "params/head/bias")
COUNTER = "num_batches_tracked"  # PyTorch's, for a momentum schedule that nobody here uses


class Placed(NamedTuple):
    """Tensors by the variable that they are, in our layout; those without a place keep their names. And notices."""

    tensors: dict[str, np.ndarray]
    notices: list[str]


def place(encoder: Encoder, tensors: Mapping[str, np.ndarray], places: set[str]) -> Placed:
    """Find the encoder among `tensors`, which are in PyTorch's names and layout.

    places: the encoder's variables, without a head.

    Raises:
      WeightsError: one line: several whole encoders, or a tensor twice.
    """
    names = [name for name in tensors if name.rpartition(".")[2] != COUNTER]
    prefix = _prefix(encoder, names, places)
    found: dict[str, str] = {}
    others = []
    for name in names:
        key = encoder.variable_path(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if key not in places and key not in HEAD:
            others.append(name)
        elif found.setdefault(key, name) != name:
            raise WeightsError(f"{found[key]} and {name} are the same tensor twice; save only one of them")
    body = {_module(found[key], prefix) for key in places if key in found}
    heads, notices = {}, []
    for module in dict.fromkeys(_module(name, prefix) for name in others):
        inside = [name for name in others if _module(name, prefix) == module]
        if body and module not in body and _takes_latents(encoder, [tensors[name] for name in inside]):
            heads[module] = inside
    others = [name for name in others if _module(name, prefix) not in heads]
    single = [module for module, inside in heads.items() if _linear(encoder, [tensors[name] for name in inside])]
    if len(single) == 1 and not any(key in found for key in HEAD):
        for name in heads.pop(single[0]):
            found[HEAD[0] if tensors[name].ndim == 2 else HEAD[1]] = name
    left_out = [name for inside in heads.values() for name in inside]
    if left_out:
        layers = dict.fromkeys(name.rpartition(".")[0] or name for name in left_out)
        notices.append(f"layers behind or beside the encoder left out: {few(layers)}")
    placed = {key: _ours(tensors[name], key) for key, name in found.items()}
    return Placed(placed | {name: tensors[name] for name in others}, notices)


def _prefix(encoder: Encoder, names: Sequence[str], places: set[str]) -> str:
    """What stands before the encoder's names: the beginning under which most of its places are found."""
    hits: dict[str, set[str]] = {}
    for name in names:
        parts = name.split(".")
        for start in range(len(parts)):
            key = encoder.variable_path(".".join(parts[start:]))
            if key in places:
                hits.setdefault("".join(f"{part}." for part in parts[:start]), set()).add(key)
    if not hits:
        return ""
    whole = sorted((prefix for prefix in hits if hits[prefix] == places), key=len)
    several = [prefix for prefix in whole if not any(prefix != other and prefix.startswith(other) for other in whole)]
    if len(several) > 1:
        raise WeightsError(f"it holds several {encoder.name}s: {few(several)}; save the one that is meant")
    return min(hits, key=lambda prefix: (-len(hits[prefix]), len(prefix)))


def _module(name: str, prefix: str) -> str:
    """The outermost part of a network that a tensor belongs to, where it is not all of what the encoder stands in."""
    parts, around = name.split("."), prefix.split(".")[:-1]
    depth = 0
    while depth < min(len(parts) - 1, len(around)) and parts[depth] == around[depth]:
        depth += 1
    return ".".join(parts[: depth + 1])


def _takes_latents(encoder: Encoder, arrays: Sequence[np.ndarray]) -> bool:
    """Whether tensors can be layers behind the encoder: no convolution, and a matrix that takes latents, if any."""
    matrices = [array for array in arrays if array.ndim == 2]
    inputs = [array.shape[1] for array in matrices]
    return all(array.ndim <= 2 for array in arrays) and (not matrices or encoder.latent_size in inputs)


def _linear(encoder: Encoder, arrays: Sequence[np.ndarray]) -> bool:
    """Whether tensors are one linear layer on latents, with its bias."""
    shapes = sorted((array.shape for array in arrays), key=len)
    return len(shapes) == 2 and shapes[1] == (*shapes[0], encoder.latent_size)


def _ours(array: np.ndarray, key: str) -> np.ndarray:
    """[out, in, height, width] -> [height, width, in, out], and [out, in] -> [in, out]."""
    if not key.endswith("/kernel"):
        return array
    return array.transpose((2, 3, 1, 0) if array.ndim == 4 else None)
