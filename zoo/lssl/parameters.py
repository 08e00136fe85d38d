"""The numbers that a layer learns, or carries along as constants."""

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from zoo.layers.initializers import Initializer, constant
from zoo.lssl.transition import Transition


class TransitionParameters(nn.Module):
    """The leaves of a `Transition`: parameters, or constants that a run carries along.

    Attributes:
        transition: what there is.
        copies: leading axes, `(features,)` if each feature has its own.
        trained: parameters, or else constants in "batch_stats".
    """

    transition: Transition
    copies: tuple[int, ...]
    trained: bool

    @nn.compact
    def __call__(self) -> dict[str, Array]:
        return {
            name: leaf(self, self.trained, name, initializer, (*self.copies, *shape))
            for name, (shape, initializer) in self.transition.parts.items()
        }


def leaf(
    module: nn.Module, trained: bool, name: str, initializer: Initializer, shape: tuple[int, ...]
) -> Array:
    """A parameter; or a constant, which no optimiser sees, in the collection "batch_stats"."""
    if trained:
        return module.param(name, initializer, shape, jnp.float32)
    draw = lambda: initializer(module.make_rng("params"), shape, jnp.float32)  # noqa: E731
    return module.variable("batch_stats", name, draw).value


def time_steps(dt_range: tuple[float, float], spacing: str, width: int) -> Initializer:
    """Of the logarithms of the features' time steps, "random" or "even" between two ends."""
    low, high = map(math.log, dt_range)
    if spacing == "even":
        return constant(np.linspace(low, high, width))
    return Initializer("uniform", mean=(low + high) / 2, gain=(high - low) / 2)
