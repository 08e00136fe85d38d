"""The linear classifier at the end of a network, or nothing."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from zoo.layers.initializers import LECUN_UNIFORM, ZEROS, Initializer


def linear_head(
    num_classes: int | None,
    dtype: Any,
    kernel_init: Initializer = LECUN_UNIFORM,
    name: str | None = None,
) -> Callable[[Array], Array]:
    """From pooled features, (b, c), to logits, (b, k), of at least float32.

    Args:
        num_classes: logits of one image; None for the identity, without parameters.
        dtype: dtype of the network's computation.
        kernel_init: initialiser of the kernel; the bias starts at zero.
        name: the layer's name, where no attribute gives it one.
    """
    if num_classes is None:
        return _identity
    wide = jnp.promote_types(dtype, jnp.float32)
    return nn.Dense(num_classes, kernel_init=kernel_init, bias_init=ZEROS, dtype=wide, name=name)


def _identity(pooled: Array) -> Array:
    return pooled
