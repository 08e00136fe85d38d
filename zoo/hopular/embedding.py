"""Rows of a table as attributes of a few channels each."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from zoo.layers.activation import gelu
from zoo.layers.initializers import ONES, ZEROS, Initializer
from zoo.layers.norm import standardize

EPSILON = 1e-12  # of all norms


def columns(sizes: Sequence[int]) -> int:
    """Length of an encoded row."""
    return sum(sizes) + len(sizes)


class Embedding(nn.Module):
    """Rows as d attributes of e channels, each through maps and a norm of its own.

    Attributes:
        sizes: values of each attribute, without its mask bit.
        discrete: indices of the categorical attributes.
        width: e.
        dropout: probability of dropping a channel in training.
        dtype: dtype of the computation.
    """

    sizes: Sequence[int]
    discrete: Sequence[int]
    width: int
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, rows: Float[Array, "n columns"], *, train: bool) -> Float[Array, "n d e"]:
        d, e = len(self.sizes), self.width
        param = lambda name, init, *shape: self.param(name, init, shape, jnp.float32)  # noqa: E731
        inside = Initializer("uniform", gain=e**-0.5)
        # A numeric attribute has two inputs, its value and its mask bit.
        kernel = param("kernel", Initializer("uniform", gain=2**-0.5), columns(self.sizes), e)
        types = param("types", inside, 2, e)
        positions = param("positions", inside, d, e)
        x = self._per_attribute(rows.astype(self.dtype), kernel.astype(self.dtype))
        x = x + self._row(param("bias", ZEROS, d, e) + positions)
        x = x + self._row(types[np.isin(np.arange(d), self.discrete).astype(int)])
        x = gelu(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = standardize(x, EPSILON) * self._row(param("norm_scale", ONES, d, e))
        x = x + self._row(param("norm_bias", ZEROS, d, e))
        mixer = param("projection_kernel", inside, d, e, e).astype(self.dtype)
        return jnp.einsum("nde,def->ndf", x, mixer) + self._row(
            param("projection_bias", ZEROS, d, e)
        )

    def _per_attribute(self, rows: Array, kernel: Array) -> Float[Array, "n d e"]:
        """Every attribute's columns times its rows of the kernel, as one product."""
        d, owner = len(self.sizes), np.repeat(np.arange(len(self.sizes)), np.add(self.sizes, 1))
        mine = jnp.asarray(owner[:, None] == np.arange(d)[None], kernel.dtype)
        return jnp.einsum("nc,cde->nde", rows, kernel[:, None] * mine[:, :, None])

    def _row(self, x: Array) -> Array:
        return x[None].astype(self.dtype)
