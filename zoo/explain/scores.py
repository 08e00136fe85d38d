"""Figures of maps: does the network use what a map shows, and how steady and narrow is it?

Maps are (b, ...) over the places of inputs (b, ..., c); larger is more relevant.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from zoo.explain.gradients import Baseline, Score, Target, chosen, like

STEPS = 20


def deletion(
    score: Score,
    inputs: Float[Array, "b ... c"],
    maps: Float[Array, "b ..."],
    target: Target,
    *,
    baseline: Baseline = 0.0,
    steps: int = STEPS,
) -> Float[Array, " b"]:
    """Area under the class's probability as places are covered, most relevant first: low is good.

    Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421, section 3.3.

    Args:
        score: inputs -> logits of classes, (b, k).
        inputs: of the network.
        maps: relevance of each place.
        target: the class that is explained, one number or one per example.
        baseline: what covers, in units of the network's input; broadcasts.
        steps: equal shares in which places are covered.
    """
    ranks = _ranks(maps)

    def probability(share: Array) -> Array:
        covered = (ranks < share)[..., None]
        shown = jnp.where(covered, like(baseline, inputs), inputs)
        return chosen(jax.nn.softmax(score(shown)), target)

    return _area(probability, steps)


def insertion(
    score: Score,
    inputs: Float[Array, "b ... c"],
    maps: Float[Array, "b ..."],
    target: Target,
    *,
    baseline: Baseline = 0.0,
    steps: int = STEPS,
) -> Float[Array, " b"]:
    """Area under the class's probability as places are shown, most relevant first: high is good.

    Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421, section 3.3.

    Args:
        score: inputs -> logits of classes, (b, k).
        inputs: of the network.
        maps: relevance of each place.
        target: the class that is explained, one number or one per example.
        baseline: what places are covered with before, in units of the network's input.
        steps: equal shares in which places are shown.
    """
    ranks = _ranks(maps)

    def probability(share: Array) -> Array:
        visible = (ranks < share)[..., None]
        shown = jnp.where(visible, inputs, like(baseline, inputs))
        return chosen(jax.nn.softmax(score(shown)), target)

    return _area(probability, steps)


def pointing_game(maps: Float[Array, "b ..."], inside: Bool[Array, "b ..."]) -> Float[Array, " b"]:
    """1 where the largest value of a map lies in the object, else 0; of equals, their share.

    Zhang et al. 2016, https://arxiv.org/abs/1608.00507, section 4.2.
    """
    axes = tuple(range(1, maps.ndim))
    top = maps == maps.max(axes, keepdims=True)
    return (top & inside).sum(axes) / top.sum(axes)


def entropy(maps: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """Entropy of the magnitudes of a map as a distribution over places, in nats: low is narrow."""
    mass = jnp.abs(maps).reshape(len(maps), -1)
    share = mass / jnp.maximum(mass.sum(axis=1, keepdims=True), jnp.finfo(mass.dtype).tiny)
    return -jax.scipy.special.xlogy(share, share).sum(axis=1)


def max_sensitivity(
    explain: Callable[[Any], Float[Array, "b ..."]],
    inputs: Float[Array, "b ..."],
    key: Key[Array, ""],
    *,
    radius: float,
    samples: int = 10,
) -> Float[Array, " b"]:
    r"""The largest relative change of an explanation among small changes of the input.

    .. math:: \max_{|\delta|_\infty \le r} |\Phi(x + \delta) - \Phi(x)| / |\Phi(x)|

    over random \(\delta\). Yeh et al. 2019, https://arxiv.org/abs/1901.09392, definition 1.

    Args:
        explain: inputs -> maps or attributions of the same target.
        inputs: of the network.
        key: draws the changes.
        radius: largest change of a number of the input, in its units.
        samples: number of changes.
    """
    norm = lambda x: jnp.sqrt(jnp.square(x.reshape(len(x), -1)).sum(axis=1))  # noqa: E731
    before = explain(inputs)

    def change(key: Any) -> Array:
        moved = jax.random.uniform(key, inputs.shape, inputs.dtype, -radius, radius)
        return norm(explain(inputs + moved) - before)

    return jax.lax.map(change, jax.random.split(key, samples)).max(axis=0) / norm(before)


def _ranks(maps: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
    """The share of places that are more relevant than each one."""
    flat = maps.reshape(len(maps), -1)
    order = jnp.argsort(-flat, axis=1, stable=True)
    places = jnp.argsort(order, axis=1)
    return (places / flat.shape[1]).reshape(maps.shape)


def _area(curve: Callable[[Array], Array], steps: int) -> Float[Array, " b"]:
    """The integral from 0 to 1 by the trapezoidal rule."""
    heights = jax.lax.map(curve, jnp.linspace(0, 1, steps + 1))
    return jax.scipy.integrate.trapezoid(heights, dx=1 / steps, axis=0)
