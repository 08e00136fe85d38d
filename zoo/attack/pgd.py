r"""Projected gradient descent: the worst inputs near the given ones that a few steps find.

.. math:: x_{t+1} = \Pi_{|x - x_0|_\infty \le \epsilon}
    \left(x_t + \alpha\, \mathrm{sign} \nabla_x L(x_t)\right)

Madry et al. 2018, https://arxiv.org/abs/1706.06083, section 2.1; one step of \(\alpha = \epsilon\)
without a random start is the fast gradient sign method of Goodfellow et al. 2015,
https://arxiv.org/abs/1412.6572.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from zoo.errors import UsageError

Bound = float | Float[Array, "..."] | Float[np.ndarray, "..."]


def pgd(
    loss: Callable[[Any], Float[Array, " b"]],
    inputs: Float[Array, "b ..."],
    key: Key[Array, ""] | None = None,
    *,
    eps: Bound,
    step: Bound,
    steps: int,
    low: Bound = -jnp.inf,
    high: Bound = jnp.inf,
) -> Float[Array, "b ..."]:
    """Inputs within `eps` of the given ones whose loss is as high as `steps` steps make it.

    >>> images = pgd(lambda x: cross_entropy(network(x), labels), images, eps=8 / 255, step=2 / 255,
    ...              steps=10, low=0.0, high=1.0)

    Args:
        loss: inputs -> (b,), of the network that is attacked.
        inputs: where to start.
        key: of a random start, uniform within `eps`; None starts at the inputs.
        eps: largest change of a number of the input, in the input's own units; a number, or an
            array that broadcasts, such as one per channel.
        step: length of a step, in the same units.
        steps: number of steps.
        low: smallest value of a valid input.
        high: largest value.

    Raises:
        UsageError: `steps` is less than one.
    """
    require_steps(steps)
    eps, step, low, high = (like(bound, inputs) for bound in (eps, step, low, high))
    least, most = jnp.maximum(inputs - eps, low), jnp.minimum(inputs + eps, high)
    gradient = jax.grad(lambda x: loss(x).sum())

    def ascend(x: Array, _: None) -> tuple[Array, None]:
        return jnp.clip(x + step * jnp.sign(gradient(x)), least, most).astype(inputs.dtype), None

    start = inputs
    if key is not None:
        noise = jax.random.uniform(key, inputs.shape, inputs.dtype, -1.0, 1.0)
        start = jnp.clip(inputs + eps * noise, least, most).astype(inputs.dtype)
    return jax.lax.scan(ascend, start, None, length=steps)[0]


def require_steps(steps: int) -> None:
    """Refuses an attack of no steps.

    Raises:
        UsageError: `steps` is less than one.
    """
    if steps < 1:
        raise UsageError(f"`steps` must be at least 1, got {steps}")


def like(bound: Bound, inputs: Array) -> Array:
    """A bound with the axes that it lacks, as ones before its own."""
    values = jnp.asarray(bound, inputs.dtype)
    return values.reshape((1,) * (inputs.ndim - values.ndim) + values.shape)
