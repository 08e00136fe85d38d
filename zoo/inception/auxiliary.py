"""Classifiers on inner maps, for training."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.inception.blocks import ModuleFactory, factories
from zoo.inception.specification import Unit
from zoo.layers.pool import adaptive_avg_pool, avg_pool


class GoogLeNetAuxiliary(nn.Module):
    """Classifier on an inner map, for training; section 5 of the first paper."""

    num_classes: int
    norm_cls: ModuleFactory
    drop_rate: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b k"]:
        unit, dense = factories(self.norm_cls, train, self.dtype)
        x = unit(Unit(128), name="unit")(adaptive_avg_pool(x, 4))
        x = jax.lax.collapse(jnp.moveaxis(x, -1, 1), 1)  # channels first, as the weights have it
        x = nn.relu(dense(1024, name="hidden")(x))
        x = nn.Dropout(self.drop_rate)(x, deterministic=not train)
        return dense(self.num_classes, name="head")(x)


class InceptionV3Auxiliary(nn.Module):
    """Classifier on the last 17×17 map, for training; figure 8 of the second paper."""

    num_classes: int
    norm_cls: ModuleFactory
    drop_rate: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b k"]:
        unit, dense = factories(self.norm_cls, train, self.dtype)
        x = unit(Unit(128), name="unit1")(avg_pool(x, window=5, stride=3))
        x = unit(Unit(768, (5, 5), padded=False), name="unit2")(x).mean(axis=(1, 2))
        return dense(self.num_classes, name="head")(x)
