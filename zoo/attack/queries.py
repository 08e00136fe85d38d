r"""Gradients from values alone: for networks that answer and let nobody look inside.

.. math:: \hat\nabla f(x) = \frac1q \sum_{i=1}^q
    \frac{f(x + \mu u_i) - f(x - \mu u_i)}{2 \mu} u_i

along all axes (the sum, not the mean), or along q random directions. Zhang et al. 2022,
https://arxiv.org/abs/2203.14195, equations 2 and 3; they ask for mu = 0.005.

>>> blind = zoo.attack.queried(network, key, directions=50)
>>> worst = zoo.attack.pgd(lambda x: cross_entropy(blind(x), labels), images, eps=0.1, ...)
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from zoo.errors import UsageError


def queried(
    function: Callable[[Any], Float[Array, "b ..."]],
    key: Key[Array, ""] | None = None,
    *,
    directions: int | None = None,
    mu: float = 0.005,
) -> Callable[[Any], Float[Array, "b ..."]]:
    """The same function, whose gradient is estimated from its values, two for each direction.

    Args:
        function: inputs (b, ...) -> values (b, ...), each example by itself. It is only called.
        key: draws random directions, the same in every call; None with `directions=None`.
        directions: how many random ones; None for all axes, with an error of order mu squared.
        mu: length of a step, in units of the inputs.

    Raises:
        UsageError: there are no directions, no step, or no key for random ones.
    """
    if directions is not None and (directions < 1 or key is None):
        raise UsageError(f"`directions` must be at least 1 and need a `key`, got {directions}")
    if not mu > 0:
        raise UsageError(f"`mu` must be positive, got {mu}")

    @jax.custom_vjp
    def asked(x: Any) -> Any:
        return function(x)

    def backward(x: Array, cotangent: Array) -> tuple[Array]:
        """The estimate of the gradient of <cotangent, f>, one direction after the other."""
        size = x[0].size
        count = size if directions is None else directions

        def along(total: Array, i: Array) -> tuple[Array, None]:
            u = _axis(i, x) if directions is None else _random(i, x)
            change = (function(x + mu * u) - function(x - mu * u)) / (2 * mu)
            slope = (change * cotangent).reshape(len(x), -1).sum(axis=1)
            return total + slope.reshape(-1, *(1,) * (x.ndim - 1)) * u, None

        total = jax.lax.scan(along, jnp.zeros_like(x), jnp.arange(count))[0]
        return (total if directions is None else total / count,)

    def _axis(i: Array, x: Array) -> Array:
        return jnp.zeros(x[0].size, x.dtype).at[i].set(1).reshape(1, *x.shape[1:])

    def _random(i: Array, x: Array) -> Array:
        assert key is not None
        return jax.random.normal(jax.random.fold_in(key, i), x.shape, x.dtype)

    asked.defvjp(lambda x: (function(x), x), backward)
    return asked
