r"""Attacks of one step, along the sign of a gradient: up the loss, or to the least likely class.

Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572, section 4; Kurakin et al. 2017,
https://arxiv.org/abs/1611.01236, section 2.3.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.attack.pgd import Bound, like


def fgsm(
    loss: Callable[[Any], Float[Array, " b"]],
    inputs: Float[Array, "b ..."],
    *,
    eps: Bound,
    low: Bound = -jnp.inf,
    high: Bound = jnp.inf,
) -> Float[Array, "b ..."]:
    r"""\(x + \epsilon\, \mathrm{sign} \nabla_x L(x)\), within the valid inputs.

    Args:
        loss: inputs -> (b,), of the network that is attacked.
        inputs: where to start.
        eps: change of each number of the input, in the input's own units; a number, or an array
            that broadcasts, such as one per channel.
        low: smallest value of a valid input.
        high: largest value.
    """
    eps, low, high = (like(bound, inputs) for bound in (eps, low, high))
    direction = jnp.sign(jax.grad(lambda x: loss(x).sum())(inputs))
    return jnp.clip(inputs + eps * direction, low, high).astype(inputs.dtype)


def least_likely(
    score: Callable[[Any], Float[Array, "b k"]],
    inputs: Float[Array, "b ..."],
    *,
    eps: Bound,
    low: Bound = -jnp.inf,
    high: Bound = jnp.inf,
) -> Float[Array, "b ..."]:
    """One step towards the class that the network finds least likely; it needs no labels.

    Args:
        score: inputs -> logits of classes, (b, k).
        inputs: where to start.
        eps: as in `fgsm`.
        low: smallest value of a valid input.
        high: largest value.
    """
    least = jnp.argmin(score(inputs), axis=-1)

    def likelihood(x: Any) -> Array:
        return jnp.take_along_axis(jax.nn.log_softmax(score(x)), least[:, None], axis=-1)[:, 0]

    return fgsm(likelihood, inputs, eps=eps, low=low, high=high)
