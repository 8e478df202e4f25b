"""ResNet-18/34/50/101/152 (He et al. 2016, arXiv:1512.03385), equal to torchvision's to rounding.

This is "v1.5", as torchvision, timm and most published weights have it: in bottlenecks the stride sits on the
3x3 convolution. Padding is explicit, since `SAME` at stride 2 pads the other side than PyTorch does.
"""

import re
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxal.encoders.encoder import Encoder, from_module
from jaxal.encoders.layers import BatchNorm, Conv, conv_norm, convolve

# Blocks in each of the four stages, whether they are bottlenecks, and the commit of timm's copy of
# torchvision's weights (`timm/resnetN.tv_in1k`), so that the same name gives the same numbers next year
# (that of ResNet-101 is not known to us).
_DEPTHS = {
    18: ((2, 2, 2, 2), False, "590dfdd48494d2316a8385e1ca7fbec3b9359b35"),
    34: ((3, 4, 6, 3), False, "c983eba7f5e69bc3548a626d1b0b0b914e5de3a6"),
    50: ((3, 4, 6, 3), True, "aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8"),
    101: ((3, 4, 23, 3), True, "main"),
    152: ((3, 8, 36, 3), True, "2a9b5c2460893a2ab13d8625db2383f3094d704f"),
}

_norm = partial(BatchNorm, epsilon=1e-5)


def _max_pool(x: jax.Array) -> jax.Array:
    """3x3 maximum at stride 2, padded by 1 on every side."""
    border = ((1, 1), (1, 1))
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=border)  # pyright: ignore[reportArgumentType]


def _conv(size: int, inputs: int, outputs: int, stride: int, in_loop: bool, name: str) -> Conv:
    """A convolution of odd size, padded by half of it on every side as PyTorch does."""
    pad = (size // 2, size // 2)
    product = partial(convolve, stride=stride, padding=(pad, pad), in_loop=in_loop)
    return Conv((size, size, inputs, outputs), product, name=name)


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or (`bottleneck`) 1x1, 3x3 and a 1x1 that widens by 4."""

    width: int
    stride: int
    bottleneck: bool
    in_loop: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """x [n, H, W, in] -> [n, H / stride, W / stride, width or 4 * width]."""
        inputs, width = x.shape[-1], self.width
        # (kernel size, outputs, stride) of the convolutions in order
        plan = [(3, width, self.stride), (3, width, 1)]
        if self.bottleneck:
            plan = [(1, width, 1), (3, width, self.stride), (1, 4 * width, 1)]
        y = x
        for i, (size, outputs, stride) in enumerate(plan, start=1):
            conv = _conv(size, y.shape[-1], outputs, stride, self.in_loop, f"conv{i}")
            y = conv_norm(conv, _norm(outputs, name=f"bn{i}"), y, train)
            if i < len(plan):
                y = nn.relu(y)
        outputs = y.shape[-1]
        if self.stride != 1 or inputs != outputs:
            conv = _conv(1, inputs, outputs, self.stride, self.in_loop, "downsample_conv")
            x = conv_norm(conv, _norm(outputs, name="downsample_bn"), x, train)
        return nn.relu(x + y)


class Stage(nn.Module):
    """`blocks` residual blocks of one width; the first has the stride."""

    width: int
    blocks: int
    stride: int
    bottleneck: bool
    in_loop: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """x [n, H, W, in] -> [n, H / stride, W / stride, width or 4 * width]."""
        for i in range(self.blocks):
            stride = self.stride if i == 0 else 1
            x = Block(self.width, stride, self.bottleneck, self.in_loop, name=f"block{i}")(x, train)
        return x


class ResNet(nn.Module):
    """The network up to its pooled latents. `width` is that of the first stage, 64 in the published ones."""

    stages: tuple[int, int, int, int]
    bottleneck: bool
    width: int
    dtype: jnp.dtype
    recompute: bool = False
    in_loop: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: frozenset[str]) -> jax.Array:
        """Normalised images [n, H, W, 3] float -> latents [n, 8 or (bottlenecks) 32 * width] float32."""
        x = images.astype(self.dtype)
        stem = _conv(7, x.shape[-1], self.width, 2, self.in_loop, "conv1")
        x = _max_pool(nn.relu(conv_norm(stem, _norm(self.width, name="bn1"), x, "bn1" in train)))
        stage = nn.remat(Stage, static_argnums=2) if self.recompute else Stage
        for i, blocks in enumerate(self.stages):
            stride = 1 if i == 0 else 2
            width, name = self.width * 2**i, f"layer{i + 1}"
            x = stage(width, blocks, stride, self.bottleneck, self.in_loop, name=name)(x, name in train)
        return x.astype(jnp.float32).mean((1, 2))


# Hugging Face transformers' names, rewritten to torchvision's; `k` and `s` count from 0 there, from 1 here.
_TRANSFORMERS = re.compile(
    r"(?:resnet\.)?(?:(?P<stem>embedder\.embedder)|encoder\.stages\.(?P<s>\d+)\.layers\.(?P<b>\d+)\."
    r"(?:layer\.(?P<k>\d+)|shortcut))\.(?P<kind>convolution|normalization)\.(?P<leaf>\w+)"
)


def _torchvision_name(name: str) -> str:
    name = re.sub(r"^classifier\.1\.", "fc.", name)
    found = _TRANSFORMERS.fullmatch(name)
    if found is None:
        return name
    part = "conv" if found["kind"] == "convolution" else "bn"
    if found["stem"]:
        return f"{part}1.{found['leaf']}"
    block = f"layer{int(found['s']) + 1}.{found['b']}"
    if found["k"] is None:
        return f"{block}.downsample.{0 if part == 'conv' else 1}.{found['leaf']}"
    return f"{block}.{part}{int(found['k']) + 1}.{found['leaf']}"


def variable_path(name: str) -> str | None:
    """Where a tensor of a torchvision, timm or Hugging Face transformers file belongs; None if nowhere."""
    name = _torchvision_name(name)
    name = re.sub(r"^(layer\d)\.(\d+)\.", r"\1/block\2/", name)
    name = name.replace("downsample.0", "downsample_conv").replace("downsample.1", "downsample_bn")
    module, _, leaf = name.rpartition(".")
    if module == "fc":
        return {"weight": "params/head/kernel", "bias": "params/head/bias"}.get(leaf)
    if re.search(r"bn\d?$", module):
        place = {"weight": "params/{}/scale", "bias": "params/{}/bias"}
        place |= {"running_mean": "batch_stats/{}/mean", "running_var": "batch_stats/{}/var"}
    else:
        place = {"weight": "params/{}/kernel"}
    return place[leaf].format(module) if leaf in place else None


@cache
def make(
    depth: int, width: int = 64, dtype: str = "float32", recompute: bool = False, in_loop: bool = False
) -> Encoder:
    """ResNet of a depth in 18, 34, 50, 101, 152 (He et al. 2015). Equal arguments give the same object, hence the same
    jit traces.

    width: channels of the first stage. dtype: of the computation, "float32" or "bfloat16"; parameters,
    statistics and latents stay float32. recompute: keep the activations between the stages alone for the
    backward pass, and compute the others again. in_loop: see `layers.convolve`. Raises ValueError for another
    depth or dtype.
    """
    if depth not in _DEPTHS:
        raise ValueError(f"resnet depth {depth} is not one of {', '.join(map(str, _DEPTHS))}")
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"encoder dtype {dtype!r} is not one of float32, bfloat16")
    stages, bottleneck, commit = _DEPTHS[depth]
    return from_module(
        f"resnet{depth}",
        ResNet(stages, bottleneck, width, jnp.dtype(dtype), recompute, in_loop),
        width * (32 if bottleneck else 8),
        # torchvision's ImageNet constants, on the 0..255 scale
        mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
        std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
        weights=f"hf:timm/resnet{depth}.tv_in1k@{commit}",
        variable_path=variable_path,
    )
