"""Pooling with explicit, symmetric padding."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from zoo.layers.windows import window_max, window_sum


def max_pool(
    x: Float[Array, "b h w c"], window: int, stride: int, padding: int = 0, *, ceil: bool = False
) -> Float[Array, "b h2 w2 c"]:
    """Largest value in each square window; `padding` pixels of minus infinity on every side.

    With `ceil` a last window that begins inside the image but ends outside it counts too.
    """
    rows, columns = (
        (padding, padding + ceil * _missing(n, window, stride, padding)) for n in x.shape[1:3]
    )
    return window_max(x, window, stride, (rows, columns))


def avg_pool(
    x: Float[Array, "b h w c"],
    window: int,
    stride: int,
    padding: int = 0,
    *,
    count_padding: bool = True,
) -> Float[Array, "b h2 w2 c"]:
    """Mean of each square window; `padding` zeros on every side count, or are left out of it."""
    pads = ((padding, padding), (padding, padding))
    sums = window_sum(x, window, stride, pads)
    if count_padding or not padding:
        return sums / window**2
    rows, columns = (_inside(n, window, stride, padding) for n in x.shape[1:3])
    return sums / jnp.asarray(np.outer(rows, columns)[None, :, :, None], x.dtype)


def global_max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """Largest value of each channel; its gradient goes to the first place that has it.

    `x.max()` compares every value with the maximum in the backward pass. Where a compiler computes
    one of both anew, with another rounding, none of them is equal to it, and the gradient is 0 / 0.
    """
    batch, height, width, channels = x.shape
    values = x.reshape(batch, height * width, channels)
    place = values.argmax(axis=1, keepdims=True)
    return jnp.take_along_axis(values, place, axis=1)[:, 0]


def adaptive_avg_pool(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b size size c"]:
    """Means over a grid of `size` × `size` cells, which overlap where the sides do not divide."""
    for axis in (1, 2):
        n = x.shape[axis]
        cells = [(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]
        means = [jax.lax.slice_in_dim(x, *cell, axis=axis).mean(axis=axis) for cell in cells]
        x = jnp.stack(means, axis=axis)
    return x


def _missing(side: int, window: int, stride: int, padding: int) -> int:
    """Pixels that the last window of a rounded-up division lacks."""
    windows = math.ceil((side + 2 * padding - window) / stride) + 1
    return (windows - 1) * stride + window - side - 2 * padding


def _inside(side: int, window: int, stride: int, padding: int) -> np.ndarray:
    """How many pixels of each window lie inside the image, along one axis."""
    starts = np.arange(0, side + 2 * padding - window + 1, stride) - padding
    return np.minimum(starts + window, side) - np.maximum(starts, 0)
