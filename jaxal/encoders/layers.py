"""Layers that the convolutional encoders share: a convolution, and batch normalisation as PyTorch does it.

PyTorch normalises a training batch by its biased variance but moves the running variance towards the
*unbiased* one; Flax's `BatchNorm` moves it towards the biased one. Matching PyTorch in train mode needs the
former.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp


class BatchNorm(nn.Module):
    """Batch normalisation over images (Ioffe & Szegedy 2015), with PyTorch's conventions.

    Parameters `scale`, `bias` and running statistics `mean`, `var` are [features] float32, whatever the
    compute dtype. `momentum` is PyTorch's: the weight of the new batch.
    """

    features: int
    epsilon: float
    momentum: float = 0.1

    def setup(self):
        """Declare the two parameters and the two running statistics."""
        self.scale = self.param("scale", nn.initializers.ones, (self.features,), jnp.float32)
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        self.mean = self.variable("batch_stats", "mean", jnp.zeros, (self.features,), jnp.float32)
        self.var = self.variable("batch_stats", "var", jnp.ones, (self.features,), jnp.float32)

    def affine(self) -> tuple[jax.Array, jax.Array]:
        """Evaluation mode as `x * gain + offset`; both [1, 1, 1, features] float32."""
        gain = self.scale * jax.lax.rsqrt(self.var.value + self.epsilon)
        offset = self.bias - self.mean.value * gain
        return gain.reshape(1, 1, 1, -1), offset.reshape(1, 1, 1, -1)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Train mode: x [n, H, W, features] normalised by its own statistics, which also move the running
        ones.

        Raises ValueError if each channel has a single value, whose unbiased variance is undefined.
        """
        count = x.size // self.features
        if count < 2:
            raise ValueError(f"batch normalisation needs 2 values a channel to train, got shape {x.shape}")
        wide = x.astype(jnp.float32)
        mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
        blend = lambda old, new: (1 - self.momentum) * old + self.momentum * new
        self.mean.value = blend(self.mean.value, mean)
        self.var.value = blend(self.var.value, var * (count / (count - 1)))
        gain = (self.scale * jax.lax.rsqrt(var + self.epsilon)).reshape(1, 1, 1, -1)
        normal = (wide - mean.reshape(1, 1, 1, -1)) * gain + self.bias.reshape(1, 1, 1, -1)
        return normal.astype(x.dtype)


class Conv(nn.Module):
    """A bias-free convolution whose output channels can be scaled on the way in.

    `kernel` is float32 of the given shape [height, width, in, out], cast to the dtype of the images.
    `product` `(x [n, H, W, in], kernel) -> [n, H', W', out]` does the work; strides, padding and grouping are
    its business.
    """

    shape: tuple[int, int, int, int]
    product: Callable[[jax.Array, jax.Array], jax.Array]

    @nn.compact
    def __call__(self, x: jax.Array, gain: jax.Array | None = None) -> jax.Array:
        """Convolve x with `kernel`, or with `kernel * gain`, gain [1, 1, 1, out]."""
        kernel = self.param("kernel", nn.initializers.zeros, self.shape, jnp.float32)  # `Encoder.init` fills it
        return self.product(x, (kernel if gain is None else kernel * gain).astype(x.dtype))


def conv_norm(conv: Conv, norm: BatchNorm, x: jax.Array, train: bool) -> jax.Array:
    """`norm(conv(x))`; in evaluation mode the normalisation is folded into the kernel and one addition."""
    if train:
        return norm(conv(x))
    gain, offset = norm.affine()
    return conv(x, gain) + offset.astype(x.dtype)


Padding = tuple[tuple[int, int], tuple[int, int]]  # (above, below), (left, right)


def convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding, in_loop: bool) -> jax.Array:
    """x [n, H, W, in] with kernel [k, k, in, out] -> [n, H', W', out].

    in_loop: as one matrix product of patches, for programmes in which the network stands in a compiled loop. There
    XLA's CPU convolution uses one thread and a slow path: a training step takes about ten times as long
    (`experiments/bench_finetune.py`). Accelerators have no such trouble, and patches cost memory.
    """
    size = kernel.shape[0]
    if size == 1:
        # A plain matrix product: XLA's CPU convolution takes up to twice as long for it.
        return x[:, ::stride, ::stride] @ kernel[0, 0]
    if not in_loop:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=layout)
    rows, columns = (
        (length + sum(pads) - size) // stride + 1 for length, pads in zip(x.shape[1:3], padding, strict=True)
    )
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    shifted = [
        x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(shifted, -1) @ kernel.reshape(-1, kernel.shape[-1])
