"""The modules that specified blocks become: units, concatenated branches, residual branches."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.inception.specification import Branch, Pool, Unit, units_of
from zoo.layers.conv import Conv
from zoo.layers.initializers import LECUN_UNIFORM, ZEROS
from zoo.layers.pool import avg_pool, max_pool

ModuleFactory = Callable[..., Any]


class ConvUnit(nn.Module):
    """Convolution without bias, norm, ReLU."""

    spec: Unit
    conv: ModuleFactory
    norm_cls: ModuleFactory

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        features, kernel, stride, padded = self.spec
        padding = None if padded else 0
        x = self.conv(features, kernel, stride=stride, padding=padding, name="conv")(x)
        return nn.relu(self.norm_cls(name="norm")(x))


class MixedBlock(nn.Module):
    """Every branch's view of one input, concatenated."""

    branches: Sequence[Branch]
    unit: ModuleFactory
    pool: Callable[[Pool, Array], Array]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        return _concatenated(self.branches, x, self.unit, self.pool)


class ResidualBlock(nn.Module):
    """A scaled linear projection of the concatenated branches, added to the input; section 3.3."""

    branches: Sequence[Branch]
    scale: float
    activate: bool
    conv: ModuleFactory
    unit: ModuleFactory
    pool: Callable[[Pool, Array], Array]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = _concatenated(self.branches, x, self.unit, self.pool)
        y = self.conv(x.shape[-1], (1, 1), use_bias=True, name="up")(y)
        x = x + self.scale * y
        return nn.relu(x) if self.activate else x


def _concatenated(branches: Sequence[Branch], x: Array, unit: Any, pool: Any) -> Array:
    return jnp.concatenate([_through(branch, x, unit, pool) for branch in branches], axis=-1)


def _through(branch: Branch, x: Array, unit: ModuleFactory, pool: Any) -> Array:
    for name, op in units_of(branch):
        if isinstance(op, Pool):
            x = pool(op, x)
        elif isinstance(op, Unit):
            x = unit(op, name=name)(x)
        else:
            named = zip("abcd", op.units, strict=False)
            x = jnp.concatenate([unit(u, name=name + letter)(x) for letter, u in named], axis=-1)
    return x


def pool_over(spec: Pool, x: Array, *, count_padding: bool) -> Array:
    """What pooling makes of a map, zeros around it counted or not."""
    kind, window, stride, padding, ceil = spec
    if kind == "max":
        return max_pool(x, window, stride, padding, ceil=ceil)
    return avg_pool(x, window, stride, padding, count_padding=count_padding)


def factories(norm: ModuleFactory, train: bool, dtype: Any) -> tuple[ModuleFactory, ModuleFactory]:
    """Units and dense layers for one mode and dtype; dense layers are at least float32."""
    norm = partial(norm, train=train, dtype=dtype)
    unit = partial(ConvUnit, conv=partial(Conv, dtype=dtype), norm_cls=norm)
    wide = jnp.promote_types(dtype, jnp.float32)
    return unit, partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=wide)
