"""Blocks of SReT: attention in slices, the MLP after each pass, the stem."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from zoo.layers.attention import attend
from zoo.layers.factory import Layers, ModuleFactory
from zoo.layers.initializers import ONES
from zoo.layers.mlp import Mlp

Order = Int[Array, " n"] | Int[np.ndarray, " n"]


class SlicedAttention(nn.Module):
    """Multi-head self-attention inside consecutive slices of the (permuted) tokens."""

    heads: int
    dense: ModuleFactory

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], slices: int, order: Order | None
    ) -> Float[Array, "b n d"]:
        b, n, d = x.shape
        x = x if order is None else jnp.take(x, order, axis=1)
        qkv = self.dense(3 * d, name="qkv")(x).reshape(b, slices, n // slices, 3 * d)
        q, k, v = jnp.split(jax.lax.collapse(qkv, 0, 2), 3, axis=-1)
        x = attend(q, k, v, self.heads).reshape(b, slices, n // slices, d).reshape(b, n, d)
        x = x if order is None else jnp.take(x, jnp.argsort(order), axis=1)
        return self.dense(d, name="out")(x)


class WeightedSum(nn.Module):
    """`a x + b y` with two learned numbers, both one at first."""

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], y: Float[Array, "b n d"]) -> Array:
        a = self.param("coefficient1", ONES, (1,), jnp.float32).astype(x.dtype)
        b = self.param("coefficient2", ONES, (1,), jnp.float32).astype(x.dtype)
        return a[None, None] * x + b[None, None] * y


class Block(nn.Module):
    """Attention and MLP, each after a norm and in a weighted sum with its input; equation 4."""

    heads: int
    mlp_ratio: float
    layers: Layers

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], slices: int, order: Order | None
    ) -> Float[Array, "b n d"]:
        layers = self.layers
        attention = SlicedAttention(self.heads, layers.dense, name="attention")
        y = attention(layers.norm(name="norm1")(x), slices, order)
        x = WeightedSum(name="sum1")(x, layers.drop_path(name="drop1")(y))
        width = int(x.shape[-1] * self.mlp_ratio)
        y = Mlp(width, layers.dense, name="mlp")(layers.norm(name="norm2")(x))
        return WeightedSum(name="sum2")(x, layers.drop_path(name="drop2")(y))


class Between(nn.Module):
    """The MLP that follows each pass through a block and is never shared; equation 5."""

    mlp_ratio: float
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        width = int(x.shape[-1] * self.mlp_ratio)
        y = Mlp(width, self.layers.dense, name="mlp")(self.layers.norm(name="norm1")(x))
        return WeightedSum(name="sum1")(x, y)


class Stem(nn.Module):
    """Three 3×3 convolutions with batch norm, each of which may halve the resolution."""

    width: int
    strides: Sequence[int]
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        widths = (self.width // 2, self.width, self.width)
        for k, (width, stride) in enumerate(zip(widths, self.strides, strict=True), start=1):
            x = self.layers.conv(width, (3, 3), stride=stride, name=f"conv{k}")(x)
            x = nn.relu(self.layers.norm(name=f"norm{k}")(x))
        return x
