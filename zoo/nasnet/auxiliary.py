"""The classifier on an inner map, for training."""

from functools import partial
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from zoo.layers.conv import Conv
from zoo.layers.head import linear_head
from zoo.layers.pool import avg_pool
from zoo.nasnet.cell import ModuleFactory


class Auxiliary(nn.Module):
    """Classifier on an inner map, for training; its last convolution covers the whole map.

    It therefore belongs to images of one size.
    """

    num_classes: int
    norm_cls: ModuleFactory
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b k"]:
        norm = partial(self.norm_cls, train=train, dtype=self.dtype)
        x = avg_pool(nn.relu(x), window=5, stride=3)
        x = nn.relu(norm(name="norm1")(Conv(128, (1, 1), dtype=self.dtype, name="conv1")(x)))
        whole = (x.shape[1], x.shape[2])
        x = Conv(768, whole, padding=0, dtype=self.dtype, name="conv2")(x)
        x = nn.relu(norm(name="norm2")(x))[:, 0, 0]
        return linear_head(self.num_classes, self.dtype, name="head")(x)
