r"""Training among Gaussian noise, so that a smoothed network answers well.

.. math:: \min_\theta \mathbb{E}_{\delta \sim N(0, \sigma^2)} L(\theta, x + \delta, y)

Cohen et al. 2019, https://arxiv.org/abs/1902.02918, section 3.3; see `train.honest.smoothing`.

>>> objective = on(gaussian_noise(0.25), supervised())
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from train.objective import Batch
from zoo.attack.pgd import Bound, like
from zoo.errors import UsageError


def gaussian_noise(sigma: Bound) -> Callable[[Batch, Batch, Any], Batch]:
    """Adds noise to every input.

    Args:
        sigma: standard deviation in units of the network's inputs, that is after normalisation; one
            number, or one per channel.

    Raises:
        UsageError: it is not positive.
    """
    if not bool((jnp.asarray(sigma) > 0).all()):
        raise UsageError(f"`sigma` must be positive, got {sigma}")

    def transform(batch: Batch, following: Batch, key: Any) -> Batch:
        del following
        x = batch["input"]
        noise = jax.random.normal(key, x.shape, x.dtype)
        return {**batch, "input": x + like(sigma, x) * noise}

    return transform
