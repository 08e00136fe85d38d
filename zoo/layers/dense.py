"""Linear maps of the last axis as what they are: products of two matrices."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from zoo.layers.initializers import LECUN_UNIFORM, ZEROS


def linear(x: Float[Array, "*batch c"], kernel: Float[Array, "c d"]) -> Float[Array, "*batch d"]:
    """`x @ kernel` with one row per position.

    On CPU the kernel's gradient of a 1×1 convolution takes ten times as long, and that of a product
    with several leading axes up to three times, since XLA then transposes what is large.
    """
    y = jax.lax.dot(x.reshape(-1, x.shape[-1]), kernel)
    return y.reshape(*x.shape[:-1], kernel.shape[-1])


def _dot_general(x: Array, kernel: Array, dimensions: Any, precision: None = None) -> Array:
    """`linear` as Flax's layer calls it."""
    return linear(x, kernel)


Dense = partial(nn.Dense, bias_init=ZEROS, dot_general=_dot_general)

# Flax's layer as it is, with the first kernels of PyTorch's.
UniformDense = partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=ZEROS)
