r"""Multinomial logistic regression in float64, with scikit-learn's penalty.

.. math:: \frac1n \sum_i -\log \mathrm{softmax}(W^\top x_i + b)_{y_i}
    + \frac{1}{2 C n} \lVert W \rVert^2

The bias has no penalty. With two classes \(W\) has columns \((-w, w)/2\) of scikit-learn's one
vector \(w\), whose norm is the one that counts. By L-BFGS: Liu & Nocedal 1989.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from zoo.errors import UsageError

MOST_STEPS = 10_000


class Solution(NamedTuple):
    """Coefficients where the loss has its minimum.

    Attributes:
        kernel: W.
        bias: b.
        loss: the mean loss with the penalty.
        steps: that it took.
        gradient: largest derivative that is left.
    """

    kernel: Float[np.ndarray, "d k"]
    bias: Float[np.ndarray, " k"]
    loss: float
    steps: int
    gradient: float


def logistic_regression(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    *,
    classes: int,
    c: float = 1.0,
    tolerance: float = 1e-8,
) -> Solution:
    """The minimum, found on the default device.

    Args:
        features: of the examples, as they are: neither centred nor scaled.
        labels: indices of classes.
        classes: how many there are.
        c: C, the inverse of the penalty's strength.
        tolerance: of every derivative.

    Raises:
        UsageError: `c` or `tolerance` is not positive, or features are not finite.
    """
    for name, value in (("c", c), ("tolerance", tolerance)):
        if not 0 < value < np.inf:
            raise UsageError(f"`{name}` must be positive and finite, got {value}")
    if not np.isfinite(features).all():
        raise UsageError("the features must be finite, and some are not; look at the weights")
    with jax.enable_x64(True):
        wide = jnp.asarray(features, jnp.float64)
        penalty = (2 if classes == 2 else 1) / (c * len(labels))
        found = _minimum(wide, jnp.asarray(labels), penalty, tolerance, classes=classes)
        kernel, bias, loss, steps, gradient = jax.device_get(found)
    return Solution(kernel, bias, float(loss), int(steps), float(gradient))


@partial(jax.jit, static_argnames="classes")
def _minimum(
    features: Array, labels: Array, penalty: Any, tolerance: Any, *, classes: int
) -> tuple[Array, Array, Array, Array, Array]:
    optimizer = optax.lbfgs()

    def loss(params: Any) -> Array:
        logits = features @ params["kernel"] + params["bias"][None]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean() + penalty / 2 * jnp.sum(params["kernel"] ** 2)

    def goes_on(now: Any) -> Array:
        _, state, gradient = now
        return (optax.tree.get(state, "count") < MOST_STEPS) & (gradient > tolerance)

    def moved(now: Any) -> Any:
        params, state, _ = now
        value, grad = optax.value_and_grad_from_state(loss)(params, state=state)
        extra: Any = {"value": value, "grad": grad, "value_fn": loss}
        updates, state = optimizer.update(grad, state, params, **extra)
        return optax.apply_updates(params, updates), state, optax.tree.norm(grad, ord=jnp.inf)

    zeros = {"kernel": jnp.zeros((features.shape[1], classes)), "bias": jnp.zeros(classes)}
    start = (zeros, optimizer.init(zeros), jnp.array(jnp.inf))
    params, state, gradient = jax.lax.while_loop(goes_on, moved, start)
    steps = optax.tree.get(state, "count")
    return params["kernel"], params["bias"], loss(params), steps, gradient
