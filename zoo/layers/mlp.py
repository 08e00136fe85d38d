"""The feed-forward half of a transformer layer."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from zoo.layers.activation import gelu


class Mlp(nn.Module):
    """Linear, GELU, linear, on each token alone.

    Vaswani et al. 2017, section 3.3, https://arxiv.org/abs/1706.03762.

    Attributes:
        width: channels between the two.
        dense: factory of the linear maps.
    """

    width: int
    dense: Callable[..., Any]

    @nn.compact
    def __call__(self, x: Float[Array, "*batch n d"]) -> Float[Array, "*batch n d"]:
        y = gelu(self.dense(self.width, name="dense1")(x))
        return self.dense(x.shape[-1], name="dense2")(y)
