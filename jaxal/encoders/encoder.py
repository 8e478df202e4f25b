"""What an encoder is: pure functions from images to latents, and the facts needed to feed it and fill it."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

Variables = dict[str, Any]
"""{"params": {...}, "batch_stats": {...}}; a head is `params["head"]`: {"kernel": [D, C], "bias": [C]}."""


class Encoding(NamedTuple):
    """What `Encoder.apply` returns.

    latents: [n, D] float32, the pooled output of the last stage.
    logits: [n, C] float32, or None if the variables hold no head.
    batch_stats: the running statistics after the call; moved in train mode only.
    """

    latents: jax.Array
    logits: jax.Array | None
    batch_stats: Variables


class Init(Protocol):
    """How an encoder is started."""

    def __call__(self, key: jax.Array, classes: int | None = None) -> Variables:
        """Variables, with a head of `classes` outputs if asked for. Consumes the key."""
        ...


class Apply(Protocol):
    """How an encoder is applied."""

    def __call__(self, variables: Variables, images: jax.Array, train: bool | frozenset[str] = False) -> Encoding:
        """images: [n, H, W, channels] float, normalised. train: whether the batch normalisations are in train mode, or
        in which parts (by their names in `params`) they are."""
        ...


class Encoder(NamedTuple):
    """Pure functions and facts of one encoder.

    init, apply: see `Init` and `Apply`; both can be jitted, with `classes` and `train` static.
    latent_size: D; None where it is the size of the flattened input.
    image_size: side in pixels that the published weights were trained at; None where any size is as good.
    mean, std: per channel, on the 0..255 scale; `normalise` applies them.
    weights: the source that `load_weights` takes when none is named; None if there is nothing to load.
    variable_path: name of a tensor in a published file -> "params/..." or "batch_stats/..."; None if it has
        no place.
    """

    name: str
    init: Init
    apply: Apply
    latent_size: int | None
    image_size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: str | None
    variable_path: Callable[[str], str | None]

    def normalise(self, images: jax.Array) -> jax.Array:
        """Images [n, H, W, channels] uint8 to float32 `(x - mean) / std`, for use inside the jitted pass."""
        mean = jnp.asarray(self.mean, jnp.float32).reshape(1, 1, 1, -1)
        std = jnp.asarray(self.std, jnp.float32).reshape(1, 1, 1, -1)
        return (images.astype(jnp.float32) - mean) / std


def stateless(
    name: str,
    function: Callable[[jax.Array], jax.Array],
    *,
    image_size: int | None = None,
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (255.0,),
) -> Encoder:
    """An `Encoder` without weights.

    Args:
      name: of the encoder.
      function: images [n, H, W, channels] float32, by default 0..1 -> latents [n, D].
      image_size: side in pixels that images are resized to; None: any.
      mean: what is subtracted from pixels 0..255, per channel, or one for all.
      std: what they are then divided by.
    """

    def init(key: jax.Array, classes: int | None = None) -> Variables:
        if classes is not None:
            raise ValueError(f"encoder {name} has no head: classes must be None")
        return {"params": {}, "batch_stats": {}}

    def apply(variables: Variables, images: jax.Array, train: bool | frozenset[str] = False) -> Encoding:
        return Encoding(function(images).astype(jnp.float32), None, variables["batch_stats"])

    return Encoder(name, init, apply, None, image_size, mean, std, None, lambda name: None)


def _draw_kernels(key: jax.Array, leaves: dict[tuple[str, ...], jax.Array]) -> dict[tuple[str, ...], jax.Array]:
    """Values for the convolution kernels among `leaves`, normal with variance 2 / (height * width * out).

    What torchvision starts a ResNet from: kaiming_normal_(mode="fan_out", nonlinearity="relu"), He et al.
    2015. One draw serves all kernels, since a draw for each of some twenty shapes takes seconds to compile.
    """
    shapes = {path: leaf.shape for path, leaf in leaves.items() if path[-1] == "kernel"}
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = jnp.split(jax.random.normal(key, (int(ends[-1]),), jnp.float32), ends[:-1])
    return {
        path: part.reshape(shape) * math.sqrt(2 / (shape[0] * shape[1] * shape[3]))
        for (path, shape), part in zip(shapes.items(), parts, strict=True)
    }


def from_module(
    name: str,
    module: nn.Module,
    latent_size: int,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    weights: str,
    variable_path: Callable[[str], str | None],
    image_size: int = 224,
) -> Encoder:
    """An `Encoder` from a Linen module `(images, train) -> latents [n, D] float32`; adds the head.

    `train` has the names of the parts in train mode.
    """

    @partial(jax.jit, static_argnames="classes")
    def init(key: jax.Array, classes: int | None = None) -> Variables:
        kernels, head = jax.random.split(key)
        images = jax.ShapeDtypeStruct((1, 32, 32, len(mean)), jnp.float32)
        # Linen's collections with zeros for kernels; no layer asks for a key.
        blank: Any = flatten_dict(dict(module.lazy_init(jax.random.key(0), images, train=frozenset())))
        variables = unflatten_dict(blank | _draw_kernels(kernels, blank))
        if classes is not None:
            # torch.nn.Linear's start: uniform within 1 / sqrt(D), for the kernel and for the bias.
            bound = latent_size**-0.5
            numbers = jax.random.uniform(head, (latent_size + 1, classes), jnp.float32, -bound, bound)
            variables["params"]["head"] = {"kernel": numbers[:-1], "bias": numbers[-1]}
        return variables

    def apply(variables: Variables, images: jax.Array, train: bool | frozenset[str] = False) -> Encoding:
        body = {key: value for key, value in variables["params"].items() if key != "head"}
        stats = variables["batch_stats"]
        collections = {"params": body, "batch_stats": stats}
        parts = frozenset(body if train else ()) if isinstance(train, bool) else train
        if parts:
            trained: Any = module.apply(collections, images, train=parts, mutable=["batch_stats"])
            latents, stats = trained[0], trained[1]["batch_stats"]
        else:
            latents: Any = module.apply(collections, images, train=parts)
        head = variables["params"].get("head")
        if head is None:
            return Encoding(latents, None, stats)
        exact = jnp.matmul(latents, head["kernel"], precision=jax.lax.Precision.HIGHEST)
        return Encoding(latents, exact + head["bias"].reshape(1, -1), stats)

    return Encoder(name, init, apply, latent_size, image_size, mean, std, weights, variable_path)
