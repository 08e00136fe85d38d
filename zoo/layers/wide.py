"""The dtype of what must not be rounded: statistics, softmax, sums, logits."""

from typing import Any

import jax.numpy as jnp


def wide(dtype: Any) -> Any:
    """float32, or float64 where the dtype is that.

    >>> wide(jnp.bfloat16)
    dtype('float32')
    """
    return jnp.promote_types(dtype, jnp.float32)
