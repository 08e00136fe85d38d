"""Convolution with standardised weights."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.conv import Conv


class StandardizedConv(Conv):
    """A `Conv` whose kernel has mean zero and variance one over the inputs of each output.

    Qiao, Wang, Liu, Shen & Yuille 2019, https://arxiv.org/abs/1903.10520, equation 5.
    """

    epsilon: float = 1e-8  # as in the code of BiT

    def effective(self, kernel: Float[Array, "kh kw c d"]) -> Float[Array, "kh kw c d"]:
        kernel = kernel - kernel.mean(axis=(0, 1, 2), keepdims=True)
        var = jnp.square(kernel).mean(axis=(0, 1, 2), keepdims=True)
        return kernel * jax.lax.rsqrt(var + self.epsilon)
