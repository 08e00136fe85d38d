"""Activations as plain functions, which can be pickled by name where JAX's own cannot."""

import jax
from jaxtyping import Array


def relu(x: Array) -> Array:
    """The larger one of x and 0."""
    return jax.nn.relu(x)


def gelu(x: Array) -> Array:
    r"""\(x \Phi(x)\), where \(\Phi\) is the standard normal distribution function."""
    return jax.nn.gelu(x, approximate=False)
