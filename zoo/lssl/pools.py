"""What becomes of sequences over time, over all their steps or as many of each."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from zoo.layers.wide import wide

Lengths = Int[Array, " n"] | Int[np.ndarray, " n"]

POOLS: dict[str, Callable[[Array], Array]] = {  # of sequences (b, l, h)
    "mean": lambda x: x.mean(axis=1),
    "sum": lambda x: x.sum(axis=1),
    "first": lambda x: x[:, 0],
    "last": lambda x: x[:, -1],
}

POOLS_TO_LENGTH: dict[str, Callable[[Array, Array], Array]] = {  # of as many steps of each
    "mean": lambda x, lengths: (_total(x, lengths) / lengths[:, None]).astype(x.dtype),
    "sum": lambda x, lengths: _total(x, lengths).astype(x.dtype),
    "first": lambda x, lengths: x[:, 0],
    "last": lambda x, lengths: jnp.take_along_axis(x, lengths[:, None, None] - 1, axis=1)[:, 0],
}


def _total(x: Float[Array, "b l h"], lengths: Lengths) -> Float[Array, "b h"]:
    """Sums over as many steps of each sequence, in at least float32."""
    there = jnp.arange(x.shape[1])[None] < lengths[:, None]
    return jnp.where(there[..., None], x, 0).sum(axis=1, dtype=wide(x.dtype))
