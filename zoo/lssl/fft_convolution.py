r"""Causal convolution of long sequences in the frequency domain."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.bilinear import Bilinear
from zoo.layers.wide import wide


def causal_convolution(
    u: Float[Array, "b h l"], kernel: Float[Array, "h m l"]
) -> Float[Array, "b h m l"]:
    r"""Every feature with its own kernels, \(y_{bhm,l} = \sum_{j \le l} K_{hm,j} u_{bh,l-j}\).

    Both are padded to at least 2 L - 1, lest the end wrap around to the beginning. The backward
    pass is two correlations, which share their transforms with the forward pass where both are one
    program. Transforms are in float32 or float64, whatever the dtypes; the result has that of `u`.

    Before JAX 0.12 `jit` does not split transforms over devices: each computes those of the whole
    batch (https://github.com/jax-ml/jax/issues/13081). `shard_map` and `pmap` do split them.
    """
    return _CONVOLUTION(u, kernel)


def fast_length(least: int) -> int:
    """The smallest number from `least` on whose only factors are 2, 3 and 5."""
    while True:
        rest = least
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return least
        least += 1


def _convolve(u: Array, kernel: Array) -> Float[Array, "b h m l"]:
    size = fast_length(2 * u.shape[-1] - 1)
    spectrum = _transform(u, size)[:, :, None] * _transform(kernel, size)[None]
    return _inverse(spectrum, size, u)


def _to_input(g: Array, kernel: Array, like: Any) -> Float[Array, "b h l"]:
    size = fast_length(2 * like.shape[-1] - 1)
    spectrum = _transform(g, size) * _transform(kernel, size).conj()[None]
    return _inverse(spectrum.sum(axis=2), size, like)


def _to_kernel(g: Array, u: Array, like: Any) -> Float[Array, "h m l"]:
    size = fast_length(2 * like.shape[-1] - 1)
    spectrum = _transform(g, size) * _transform(u, size).conj()[:, :, None]
    return _inverse(spectrum.sum(axis=0), size, like)


def _transform(x: Array, size: int) -> Array:
    return jnp.fft.rfft(x.astype(wide(x.dtype)), size)


def _inverse(spectrum: Array, size: int, like: Any) -> Array:
    return jnp.fft.irfft(spectrum, size)[..., : like.shape[-1]].astype(like.dtype)


_CONVOLUTION = Bilinear(_convolve, _to_input, _to_kernel)
