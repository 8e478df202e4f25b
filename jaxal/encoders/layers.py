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
