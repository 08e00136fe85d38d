"""Classifiers on inner maps, for training."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.inception.blocks import ConvUnit
from zoo.inception.specification import Unit
from zoo.layers.factory import Layers
from zoo.layers.pool import adaptive_avg_pool, avg_pool


class GoogLeNetAuxiliary(nn.Module):
    """Classifier on an inner map, for training; section 5 of the first paper."""

    num_classes: int
    drop_rate: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], layers: Layers, *, train: bool
    ) -> Float[Array, "b k"]:
        x = ConvUnit(Unit(128), layers, name="unit")(adaptive_avg_pool(x, 4))
        x = jax.lax.collapse(jnp.moveaxis(x, -1, 1), 1)  # channels first, as the weights have it
        x = nn.relu(layers.dense(1024, name="hidden")(x))
        x = nn.Dropout(self.drop_rate)(x, deterministic=not train)
        return layers.dense(self.num_classes, name="head")(x)


class InceptionV3Auxiliary(nn.Module):
    """Classifier on the last 17×17 map, for training; figure 8 of the second paper."""

    num_classes: int
    drop_rate: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], layers: Layers, *, train: bool
    ) -> Float[Array, "b k"]:
        x = ConvUnit(Unit(128), layers, name="unit1")(avg_pool(x, window=5, stride=3))
        x = ConvUnit(Unit(768, (5, 5), padded=False), layers, name="unit2")(x).mean(axis=(1, 2))
        return layers.dense(self.num_classes, name="head")(x)
