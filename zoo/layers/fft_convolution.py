r"""Causal convolution of long sequences in the frequency domain."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

Spectrum = Complex[Array, "h m f"]


@jax.custom_vjp
def causal_convolution(
    u: Float[Array, "b h l"], kernel: Float[Array, "h m l"]
) -> Float[Array, "b h m l"]:
    r"""Every feature with its own kernels, \(y_{bhm,l} = \sum_{j \le l} K_{hm,j} u_{bh,l-j}\).

    Both are padded to at least 2 L - 1, lest the end wrap around to the beginning. The spectra are
    kept for the backward pass, which is two correlations. Transforms are in float32 or float64,
    whatever the dtypes; the result has that of `u`.

    Before JAX 0.12 `jit` does not split transforms over devices: each computes those of the whole
    batch (https://github.com/jax-ml/jax/issues/13081). `shard_map` and `pmap` do split them.
    """
    return _forward(u, kernel)[0]


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


def _forward(u: Array, kernel: Array) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    size = fast_length(2 * u.shape[-1] - 1)
    spectra = _transform(u, size), _transform(kernel, size)
    y = _inverse(spectra[0][:, :, None] * spectra[1][None], size, u.shape[-1])
    # Empty slices carry the dtypes that cotangents must have.
    return y.astype(u.dtype), (*spectra, u[:0], kernel[:0])


def _backward(saved: tuple[Array, Array, Array, Array], g: Array) -> tuple[Array, Array]:
    u, kernel, like_u, like_kernel = saved
    length = g.shape[-1]
    size = fast_length(2 * length - 1)
    spectrum = _transform(g, size)
    du = _inverse((spectrum * kernel.conj()[None]).sum(axis=2), size, length)
    dk = _inverse((spectrum * u.conj()[:, :, None]).sum(axis=0), size, length)
    return du.astype(like_u.dtype), dk.astype(like_kernel.dtype)


def _transform(x: Array, size: int) -> Array:
    return jnp.fft.rfft(x.astype(jnp.promote_types(x.dtype, jnp.float32)), size)


def _inverse(spectrum: Array, size: int, length: int) -> Array:
    return jnp.fft.irfft(spectrum, size)[..., :length]


causal_convolution.defvjp(_forward, _backward)
