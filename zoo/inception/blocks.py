"""The modules that specified blocks become: units, concatenated branches, residual branches."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.inception.specification import Branch, Pool, Unit, units_of
from zoo.layers.factory import Layers
from zoo.layers.pool import avg_pool, max_pool


class ConvUnit(nn.Module):
    """Convolution without bias, norm, ReLU."""

    spec: Unit
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        features, kernel, stride, padded = self.spec
        padding = None if padded else 0
        x = self.layers.conv(features, kernel, stride=stride, padding=padding, name="conv")(x)
        return nn.relu(self.layers.norm(name="norm")(x))


class MixedBlock(nn.Module):
    """Every branch's view of one input, concatenated."""

    branches: Sequence[Branch]
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        return _concatenated(self.branches, x, self.layers)


class ResidualBlock(nn.Module):
    """A scaled linear projection of the concatenated branches, added to the input; section 3.3."""

    branches: Sequence[Branch]
    scale: float
    activate: bool
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = _concatenated(self.branches, x, self.layers)
        y = self.layers.conv(x.shape[-1], (1, 1), use_bias=True, name="up")(y)
        x = x + self.scale * y
        return nn.relu(x) if self.activate else x


def _concatenated(branches: Sequence[Branch], x: Array, layers: Layers) -> Array:
    return jnp.concatenate([_through(branch, x, layers) for branch in branches], axis=-1)


def _through(branch: Branch, x: Array, layers: Layers) -> Array:
    for name, op in units_of(branch):
        if isinstance(op, Pool):
            x = layers.pool(op, x)
        elif isinstance(op, Unit):
            x = ConvUnit(op, layers, name=name)(x)
        else:
            named = zip("abcd", op.units, strict=False)
            forks = [ConvUnit(u, layers, name=name + letter)(x) for letter, u in named]
            x = jnp.concatenate(forks, axis=-1)
    return x


def pool_over(spec: Pool, x: Array, *, count_padding: bool) -> Array:
    """What pooling makes of a map, zeros around it counted or not."""
    kind, window, stride, padding, ceil = spec
    if kind == "max":
        return max_pool(x, window, stride, padding, ceil=ceil)
    return avg_pool(x, window, stride, padding, count_padding=count_padding)
