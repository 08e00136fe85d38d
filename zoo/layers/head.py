"""The linear classifier at the end of a network, or nothing."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from zoo.layers.dense import UniformDense
from zoo.layers.initializers import LECUN_UNIFORM, Initializer
from zoo.layers.wide import wide


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
    return UniformDense(num_classes, kernel_init=kernel_init, dtype=wide(dtype), name=name)


def _identity(pooled: Array) -> Array:
    return pooled
