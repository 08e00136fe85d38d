r"""Projected gradient descent within a ball of the Euclidean norm.

.. math:: x_{t+1} = \Pi_{|x - x_0|_2 \le \epsilon}
    \left(x_t + \alpha \nabla_x L(x_t) / |\nabla_x L(x_t)|_2\right)

Madry et al. 2018, https://arxiv.org/abs/1706.06083, section 5.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from zoo.attack.pgd import Bound, like, require_steps


def pgd_l2(
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
    """Inputs at most `eps` from the given ones, whose loss is as high as `steps` steps make it.

    Args:
        loss: inputs -> (b,), of the network that is attacked.
        inputs: where to start; valid ones, if there are bounds.
        key: of a random start, in a random direction; None starts at the inputs.
        eps: largest distance, in the input's own units; one number, or one per example, (b, 1, ...)
            with all axes.
        step: length of a step, in the same units.
        steps: number of steps.
        low: smallest value of a valid input.
        high: largest value.

    Raises:
        UsageError: `steps` is less than one.
    """
    require_steps(steps)
    eps, step, low, high = (like(bound, inputs) for bound in (eps, step, low, high))
    gradient = jax.grad(lambda x: loss(x).sum())

    def valid(x: Array) -> Array:
        """The nearest point of the ball; to cut it to valid numbers brings it no farther away."""
        change = x - inputs
        size = norm(change)
        inside = inputs + change * jnp.minimum(1, eps / jnp.maximum(size, _TINY))
        return jnp.clip(inside, low, high).astype(inputs.dtype)

    def ascend(x: Array, _: None) -> tuple[Array, None]:
        g = gradient(x)
        return valid(x + step * g / jnp.maximum(norm(g), _TINY)), None

    start = inputs
    if key is not None:
        direction, share = jax.random.split(key)
        noise = jax.random.normal(direction, inputs.shape, inputs.dtype)
        radius = jax.random.uniform(share, (len(inputs), *(1,) * (inputs.ndim - 1)), inputs.dtype)
        start = valid(inputs + eps * radius * noise / norm(noise))
    return jax.lax.scan(ascend, start, None, length=steps)[0]


def norm(x: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
    """Euclidean norm of each example, with axes of one for the others."""
    return jnp.sqrt(jnp.square(x).sum(axis=tuple(range(1, x.ndim)), keepdims=True))


_TINY = 1e-30
