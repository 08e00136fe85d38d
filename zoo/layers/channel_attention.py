"""Channel attention: each channel is scaled by a number between zero and one, read off all means.

Every module here is made as `cls(dtype=...)` and maps a feature map to one of the same shape.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.conv import Conv
from zoo.layers.initializers import LECUN_UNIFORM


class NoAttention(nn.Module):
    """The identity: all channels count alike."""

    dtype: Any = jnp.float32

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return x


class SqueezeExcite(nn.Module):
    """Scales computed by a small two-layer network.

    Hu, Shen, Albanie, Sun & Wu 2017, https://arxiv.org/abs/1709.01507, figure 3.

    Attributes:
        ratio: hidden channels for each channel; they are rounded to a multiple of 8.
        hidden: how many hidden channels, instead of `ratio`.
        activation: of the hidden channels.
        dtype: dtype of the computation.
    """

    ratio: float = 1 / 16
    hidden: int | None = None
    activation: Callable[[Array], Array] = nn.relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        hidden = self.hidden or max(8, int(channels * self.ratio + 4) // 8 * 8)
        y = x.mean(axis=(1, 2), keepdims=True)
        y = Conv(hidden, (1, 1), use_bias=True, dtype=self.dtype, name="squeeze")(y)
        y = self.activation(y)
        y = Conv(channels, (1, 1), use_bias=True, dtype=self.dtype, name="excite")(y)
        return x * nn.sigmoid(y)


class EfficientChannelAttention(nn.Module):
    """Scales computed by one short convolution along the channels, zeros beyond both ends.

    Wang et al. 2019, https://arxiv.org/abs/1910.03151; equation 12 gives the kernel's length.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        length = int((math.log2(x.shape[-1]) + 1) / 2)
        length = max(length if length % 2 else length + 1, 3)
        kernel = self.param("kernel", LECUN_UNIFORM, (length, 1, 1), jnp.float32)
        y = jax.lax.conv_general_dilated(
            x.mean(axis=(1, 2))[:, :, None],
            kernel.astype(self.dtype),
            window_strides=(1,),
            padding=[(length // 2, length // 2)],
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return x * nn.sigmoid(y).swapaxes(1, 2)[:, None]
