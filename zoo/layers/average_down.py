"""Averages of 2×2 pixels, the last one of an odd side over what is there."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.squares import squares


def average_down(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Halves both sides, rounding up.

    Repeating the last row and column of an odd side makes the mean of a full window equal to
    that of its real pixels.
    """
    h, w = x.shape[1:3]
    # Not `jnp.pad`, which slices the axis of examples too: on a mesh that is refused.
    x = jnp.concatenate([x, x[:, -1:]], axis=1) if h % 2 else x
    x = jnp.concatenate([x, x[:, :, -1:]], axis=2) if w % 2 else x
    return squares(x, 2, ((h + 1) // 2, (w + 1) // 2)).mean(axis=(3, 4))
