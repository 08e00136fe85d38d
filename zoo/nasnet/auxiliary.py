"""The classifier on an inner map, for training."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from zoo.layers.factory import Layers
from zoo.layers.head import linear_head
from zoo.layers.pool import avg_pool


class Auxiliary(nn.Module):
    """Classifier on an inner map, for training; its last convolution covers the whole map.

    It therefore belongs to images of one size.
    """

    num_classes: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], layers: Layers) -> Float[Array, "b k"]:
        x = avg_pool(nn.relu(x), window=5, stride=3)
        x = nn.relu(layers.norm(name="norm1")(layers.conv(128, (1, 1), name="conv1")(x)))
        whole = (x.shape[1], x.shape[2])
        x = layers.conv(768, whole, padding=0, name="conv2")(x)
        x = nn.relu(layers.norm(name="norm2")(x))[:, 0, 0]
        return linear_head(self.num_classes, self.dtype, name="head")(x)
