r"""Sharpness-aware minimisation: gradients from the worst point near the parameters.

.. math:: g = \nabla L\left(\theta + \rho \frac{\nabla L(\theta)}{|\nabla L(\theta)|}\right)

Foret et al. 2021, https://arxiv.org/abs/2010.01412, algorithm 1; `optax.contrib.sam` does it.

>>> optimizer = sharpness_aware(optax.sgd(0.1), rho=0.05)
"""

from functools import partial
from typing import Any

import optax
import optax.contrib

from zoo.errors import UsageError


def sharpness_aware(
    optimizer: optax.GradientTransformation, rho: float = 0.05
) -> optax.GradientTransformationExtraArgs:
    """An optimiser that steps with the gradient at the worst point within `rho`.

    Takes twice the time. Batch statistics are those of the first of the two passes.

    Args:
        optimizer: what moves the parameters.
        rho: radius, in the norm of all trained parameters together.
    """
    if not rho > 0:
        raise UsageError(f"`rho` must be positive, got {rho}")
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(rho))
    descent = optax.with_extra_args_support(optimizer)

    def around(**extra: Any) -> optax.GradientTransformationExtraArgs:
        inner = optax.GradientTransformation(descent.init, partial(descent.update, **extra))
        return optax.contrib.sam(inner, ascent, opaque_mode=True)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return around(**extra).update(updates, state, params, grad_fn=extra["grad_fn"])

    return optax.GradientTransformationExtraArgs(around().init, update)
