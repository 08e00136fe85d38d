"""Sliding windows in the forms that are fastest on CPU.

XLA's CPU backend has no fast gradient of `reduce_window` and of convolutions in groups, but turns a
sum or maximum of slices into one vectorised loop, and its gradient into another. Elsewhere the
hardware's own operations are used.
"""

from collections.abc import Iterator
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.bilinear import Bilinear
from zoo.layers.wide import wide

NHWC = ("NHWC", "HWIO", "NHWC")  # orders of the axes of maps, kernels and results
Pads = tuple[tuple[int, int], tuple[int, int]]  # pixels above and below, left and right
NO_PADS: Pads = ((0, 0), (0, 0))
SHIFTED = 3  # windows up to this side are worth a copy for each of their pixels


def shifts(
    x: Float[Array, "b h w c"], window: tuple[int, int], stride: int
) -> Iterator[Float[Array, "b h2 w2 c"]]:
    """For each place in a window, row by row, the pixel there of every window inside the map."""
    (height, width), (rows, columns) = x.shape[1:3], window
    for i in range(rows):
        for j in range(columns):
            below, right = height - rows + i + 1, width - columns + j + 1
            yield strided(x, stride, (i, j), (below, right))


def strided(
    x: Float[Array, "b h w c"],
    stride: int,
    start: tuple[int, int] = (0, 0),
    end: tuple[int, int] | None = None,
) -> Float[Array, "b h2 w2 c"]:
    """Every `stride`-th pixel of both axes; of an index JAX makes a gather if `b` is symbolic."""
    rows, columns = end or (x.shape[1], x.shape[2])
    limits = (x.shape[0], rows, columns, x.shape[3])
    return jax.lax.slice(x, (0, *start, 0), limits, (1, stride, stride, 1))


def window_max(
    x: Float[Array, "b h w c"], side: int, stride: int, pads: Pads = NO_PADS
) -> Float[Array, "b h2 w2 c"]:
    """Largest value of each square window; the first of equals has the gradient.

    The gradient of 3×3 at stride 2 takes a ninth of the time that XLA's takes on CPU.
    """
    return _on_cpu(x, side, stride, pads, _larger, -jnp.inf, jax.lax.max)


def window_sum(
    x: Float[Array, "b h w c"], side: int, stride: int, pads: Pads = NO_PADS
) -> Float[Array, "b h2 w2 c"]:
    """Sum of each square window; on CPU in a quarter of XLA's time."""
    return _on_cpu(x, side, stride, pads, jax.lax.add, 0.0, jax.lax.add)


def _on_cpu(
    x: Array, side: int, stride: int, pads: Pads, pairwise: Any, start: float, operation: Any
) -> Array:
    """A reduction over windows: by shifts on CPU, if they are small, else by XLA.

    XLA's own takes the padding as part of the operation, which a TPU then never writes to memory.
    """
    whole = partial(
        jax.lax.reduce_window,
        init_value=start,
        computation=operation,
        window_dimensions=(1, side, side, 1),
        window_strides=(1, stride, stride, 1),
        padding=((0, 0), *pads, (0, 0)),
    )
    if side > SHIFTED:
        return whole(x)

    def shifted(x: Array) -> Array:
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=start)
        return reduce(pairwise, shifts(x, (side, side), stride))

    return jax.lax.platform_dependent(x, cpu=shifted, default=whole)


def _larger(x: Array, y: Array) -> Array:
    """The larger one, `x` if they are equal, NaN if one is."""
    return jnp.where((y > x) | jnp.isnan(y), y, x)


def unpadded(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c d"], stride: int
) -> Float[Array, "b h2 w2 d"]:
    """Convolution over the windows inside the map.

    XLA's CPU backend has a slow way for a convolution without any padding. On CPU there is a row of
    zeros below the map and none of it in the result: 3×3 on 73×73 pixels takes a fifth of the time.
    """
    convolve = partial(
        jax.lax.conv_general_dilated, window_strides=(stride, stride), dimension_numbers=NHWC
    )
    rows = (x.shape[1] - kernel.shape[0]) // stride + 1
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: convolve(x, kernel, padding=((0, 1), (0, 0)))[:, :rows],
        default=partial(convolve, padding="VALID"),
    )


def depthwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw 1 c"], stride: int, pads: Pads
) -> Float[Array, "b h2 w2 c"]:
    """Convolution of each channel with its own kernel.

    On CPU a 5×5 takes a fortieth of XLA's time, its gradient a tenth.
    """
    return _DEPTHWISE(x, kernel, stride, pads)


def _convolve(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=pads,
        dimension_numbers=NHWC,
        feature_group_count=x.shape[-1],
    )


def _convolved_to_map(
    cotangent: Array, kernel: Array, like: Any, stride: int, pads: Pads
) -> Float[Array, "b h w c"]:
    convolve = lambda x: _convolve(x, kernel, stride, pads)  # noqa: E731
    return jax.linear_transpose(convolve, like)(cotangent)[0]


def _convolved_to_kernel(
    cotangent: Array, x: Array, like: Any, stride: int, pads: Pads
) -> Float[Array, "kh kw 1 c"]:
    convolve = lambda kernel: _convolve(x, kernel, stride, pads)  # noqa: E731
    return jax.linear_transpose(convolve, like)(cotangent)[0]


def _shift_and_add(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    weights = kernel.astype(wide(x.dtype)).reshape(-1, 1, 1, 1, x.shape[-1])
    pixels = shifts(x, (kernel.shape[0], kernel.shape[1]), stride)
    return reduce(jnp.add, map(jnp.multiply, pixels, weights)).astype(x.dtype)


def _shifted_to_map(
    cotangent: Array, kernel: Array, like: Any, stride: int, pads: Pads
) -> Float[Array, "b h w c"]:
    """The map's cotangent, by the mirrored kernel."""
    edges = [
        (k - 1 - before, side + before - last, stride - 1)
        for k, (before, _), side, last in zip(
            kernel.shape[:2], pads, like.shape[1:3], _reach(cotangent, stride), strict=True
        )
    ]
    zero = jnp.zeros((), cotangent.dtype)
    spread = jax.lax.pad(cotangent, zero, ((0, 0, 0), *edges, (0, 0, 0)))
    return _shift_and_add(spread, kernel[::-1, ::-1], 1, ((0, 0), (0, 0)))


def _shifted_to_kernel(
    cotangent: Array, x: Array, like: Any, stride: int, pads: Pads
) -> Float[Array, "kh kw 1 c"]:
    """The kernel's cotangent, one of its pixels at a time."""
    height, width = like.shape[:2]
    size = (x.shape[0], *_reach(cotangent, stride), x.shape[3])
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))

    def weight(place: Array) -> Array:
        start = (0, place // width, place % width, 0)
        pixels = jax.lax.dynamic_slice(x, start, size)[:, ::stride, ::stride]
        return jnp.sum(pixels * cotangent, axis=(0, 1, 2), dtype=wide(x.dtype))

    weights = jax.lax.map(weight, jnp.arange(height * width))
    return weights.reshape(like.shape).astype(like.dtype)


def _reach(y: Array, stride: int) -> tuple[int, int]:
    """Rows and columns from the first to the last window's beginning."""
    return (y.shape[1] - 1) * stride + 1, (y.shape[2] - 1) * stride + 1


def _by_platform(shifted: Any, convolved: Any) -> Any:
    """The first function on CPU, the second one elsewhere; the first two arguments are arrays."""

    def choose(x: Array, y: Array, *options: Any) -> Array:
        return jax.lax.platform_dependent(
            x,
            y,
            cpu=lambda x, y: shifted(x, y, *options),
            default=lambda x, y: convolved(x, y, *options),
        )

    return choose


_DEPTHWISE = Bilinear(
    _by_platform(_shift_and_add, _convolve),
    _by_platform(_shifted_to_map, _convolved_to_map),
    _by_platform(_shifted_to_kernel, _convolved_to_kernel),
)
