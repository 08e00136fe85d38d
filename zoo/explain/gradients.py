r"""Explanations by gradients: how much each number of an input moves the score of a class.

All take `score`, inputs (b, ...) -> scores (b, k), and are pure: `jax.jit` and `jax.vmap` go
through them. Scores are logits; the softmax of a sure network is flat, so that its gradient says
nothing.

>>> score = lambda x: model.apply(variables, x, train=False)
>>> attributions = zoo.explain.integrated_gradients(score, images, target)
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from zoo.errors import UsageError

Score = Callable[[Any], Float[Array, "b k"]]
Target = int | Int[Array, ""] | Int[Array, " b"] | Int[np.ndarray, " b"]
Baseline = float | Float[Array, "..."] | Float[np.ndarray, "..."]
STEPS, SAMPLES = 50, 25


def chosen(scores: Float[Array, "b k"], target: Target) -> Float[Array, " b"]:
    """The score of the target of each example; one number is the target of all."""
    index = jnp.broadcast_to(jnp.asarray(target), scores.shape[:1])
    return jnp.take_along_axis(scores, index[:, None], axis=-1)[:, 0]


def saliency(score: Score, inputs: Float[Array, "b ..."], target: Target) -> Float[Array, "b ..."]:
    r"""\(\partial s_t / \partial x\), with its sign; its magnitude is what is drawn.

    Simonyan et al. 2014, https://arxiv.org/abs/1312.6034, section 3.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.
    """
    return jax.grad(lambda x: chosen(score(x), target).sum())(inputs)


def input_times_gradient(
    score: Score, inputs: Float[Array, "b ..."], target: Target, *, baseline: Baseline = 0.0
) -> Float[Array, "b ..."]:
    r"""\((x - x_0)\, \partial s_t / \partial x\): what a linear network adds for each number.

    Shrikumar et al. 2016, https://arxiv.org/abs/1605.01713.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.
        baseline: \(x_0\), the input that says nothing, in units of the network's input; broadcasts.
    """
    return (inputs - like(baseline, inputs)) * saliency(score, inputs, target)


def smooth_grad(
    score: Score,
    inputs: Float[Array, "b ..."],
    target: Target,
    key: Key[Array, ""],
    *,
    noise: float = 0.15,
    samples: int = SAMPLES,
) -> Float[Array, "b ..."]:
    """The mean gradient around an input, among Gaussian noise.

    Smilkov et al. 2017, https://arxiv.org/abs/1706.03825.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.
        key: of the noise.
        noise: its standard deviation, as a share of the range of each example.
        samples: number of noisy inputs.
    """
    axes = tuple(range(1, inputs.ndim))
    spread = noise * (inputs.max(axes, keepdims=True) - inputs.min(axes, keepdims=True))

    def gradient(key: Any) -> Array:
        noisy = inputs + spread * jax.random.normal(key, inputs.shape, inputs.dtype)
        return saliency(score, noisy, target)

    return _mean(gradient, jax.random.split(key, _at_least_one("samples", samples)))


def integrated_gradients(
    score: Score,
    inputs: Float[Array, "b ..."],
    target: Target,
    *,
    baseline: Baseline = 0.0,
    steps: int = STEPS,
) -> Float[Array, "b ..."]:
    r"""The gradient along the straight line from a baseline, times its length.

    .. math:: (x - x_0) \int_0^1 \frac{\partial s_t}{\partial x} (x_0 + a (x - x_0))\, da

    by the midpoint rule. The sum over an input is \(s_t(x) - s_t(x_0)\). Sundararajan et al. 2017,
    https://arxiv.org/abs/1703.01365, equation 1.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.
        baseline: \(x_0\), the input that says nothing, in units of the network's input; broadcasts.
        steps: points of the line.
    """
    start = jnp.broadcast_to(like(baseline, inputs), inputs.shape)
    way = inputs - start

    def gradient(share: Any) -> Array:
        return saliency(score, start + share * way, target)

    middle = (jnp.arange(_at_least_one("steps", steps), dtype=inputs.dtype) + 0.5) / steps
    return way * _mean(gradient, middle)


def heat(attributions: Float[Array, "b ... c"]) -> Float[Array, "b ..."]:
    """The magnitude of attributions at each place: the sum over channels."""
    return jnp.abs(attributions).sum(axis=-1)


def like(values: Baseline, inputs: Array) -> Array:
    """Values with the axes that they lack, as ones before their own."""
    array = jnp.asarray(values, inputs.dtype)
    return array.reshape((1,) * (inputs.ndim - array.ndim) + array.shape)


def _mean(function: Callable[[Any], Array], over: Array) -> Array:
    """The mean of a function, one point after the other, so that memory is that of one."""

    def add(total: Array, point: Array) -> tuple[Array, None]:
        return total + function(point), None

    first = jax.eval_shape(function, over[0])
    return jax.lax.scan(add, jnp.zeros(first.shape, first.dtype), over)[0] / len(over)


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise UsageError(f"`{name}` must be at least 1, got {value}")
    return value
