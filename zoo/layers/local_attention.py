"""Efficient Local Attention: rows and columns are weighted channel by channel, without squeezing.

Xu & Wan 2024, https://arxiv.org/abs/2403.01123. Means over rows and over columns go through one
shared convolution along the side, group norm and a sigmoid; their two answers multiply the map.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.factory import Factory
from zoo.layers.group_norm import GroupNorm
from zoo.layers.initializers import LECUN_UNIFORM


class EfficientLocalAttention(nn.Module):
    """Scales each row and each column of each channel by a number between zero and one.

    Attributes:
        kernel_size: length of the convolution along a side, odd.
        group_width: channels that one group of the convolution sees.
        norm_groups: groups of the norm.
        dtype: dtype of the computation.
    """

    kernel_size: int = 7
    group_width: int = 1
    norm_groups: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels, width = x.shape[-1], self.group_width
        shape = (self.kernel_size, width, channels)
        kernel = self.param("kernel", LECUN_UNIFORM, shape, jnp.float32).astype(self.dtype)
        norm = GroupNorm(groups=self.norm_groups, dtype=self.dtype, name="norm")

        def scales(means: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
            y = jax.lax.conv_general_dilated(
                means,
                kernel,
                window_strides=(1,),
                padding=[(self.kernel_size // 2, self.kernel_size // 2)],
                dimension_numbers=("NWC", "WIO", "NWC"),
                feature_group_count=channels // width,
            )
            return nn.sigmoid(norm(y))

        return x * scales(x.mean(axis=2))[:, :, None] * scales(x.mean(axis=1))[:, None]


# Section 3.4 of the paper: tiny, base, small and large.
ela_t = Factory(EfficientLocalAttention, kernel_size=5, norm_groups=32)
ela_b = Factory(EfficientLocalAttention, kernel_size=7)
ela_s = Factory(EfficientLocalAttention, kernel_size=5, group_width=8)
ela_l = Factory(EfficientLocalAttention, kernel_size=7, group_width=8)
