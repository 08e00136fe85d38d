"""Group normalisation: statistics of one example, so that the batch does not matter."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.initializers import ONES, ZEROS, Initializer
from zoo.layers.wide import wide


class GroupNorm(nn.Module):
    """Normalises `groups` runs of neighbouring channels, each over all pixels of an example.

    Wu & He 2018, https://arxiv.org/abs/1803.08494.

    Attributes:
        train: accepted and without effect, so that it may stand where a `BatchNorm` does.
        groups: how many runs; they divide the channels.
        epsilon: added to the variance.
        scale_init: initial gamma; zeros make a residual branch start as the identity.
        dtype: dtype of the result; statistics are at least float32.
    """

    train: bool = False
    groups: int = 32
    epsilon: float = 1e-5
    scale_init: Initializer = ONES
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *space c"]:
        channels = x.shape[-1]
        scale = self.param("scale", self.scale_init, (channels,), jnp.float32)
        bias = self.param("bias", ZEROS, (channels,), jnp.float32)
        x = x.astype(wide(x.dtype))
        pixels = jax.lax.collapse(x, 1, -1)
        y = pixels.reshape(*pixels.shape[:2], self.groups, channels // self.groups)
        y = y - y.mean(axis=(1, 3), keepdims=True)
        var = jnp.square(y).mean(axis=(1, 3), keepdims=True)
        y = (y * jax.lax.rsqrt(var + self.epsilon)).reshape(pixels.shape)
        return (y * scale[None, None] + bias[None, None]).reshape(x.shape).astype(self.dtype)
