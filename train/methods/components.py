r"""The margin loss of classification by components.

.. math:: \max(0, \max_{c \ne t} p_c - p_t + m)

Saralajew et al. 2019, https://papers.nips.cc/paper/8546, equation 5; see `zoo.layers.components`.

>>> objective = train.supervised(loss=margin_loss(0.3))
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError


def margin_loss(margin: float = 0.3) -> Callable[[Any, Any], Float[Array, " b"]]:
    """A loss that is zero once the right class is ahead by a margin.

    Args:
        margin: of probabilities, in (0, 1]; of logits it may be any positive number.

    Raises:
        UsageError: it is not positive.
    """
    if not margin > 0:
        raise UsageError(f"`margin` must be positive, got {margin}")

    def loss(outputs: Any, labels: Any) -> Float[Array, " b"]:
        right = jax.nn.one_hot(labels, outputs.shape[-1]) > 0
        own = jnp.where(right, outputs, 0).sum(axis=-1)
        best = jnp.where(right, -jnp.inf, outputs).max(axis=-1)
        return jax.nn.relu(best - own + margin)

    return loss
