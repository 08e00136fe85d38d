"""Explanations that hide segments of an input: a linear surrogate, and Shapley values.

A segment is a set of places that are hidden or shown together; `segments` numbers them from 0.
Both return a value for each segment, (b, segments); `painted` puts it where the segment is.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from zoo.errors import UsageError
from zoo.explain.gradients import Baseline, Score, Target, chosen, like

Segments = Int[np.ndarray, "..."] | Int[Array, "..."]
MOST_EXACT = 7  # segments of which all orders are tried: 5,040


def grid(sides: Sequence[int], cells: int) -> Int[np.ndarray, "..."]:
    """Segments in a grid: each axis falls into so many cells, as equal as can be."""
    axes = [np.arange(side) * min(cells, side) // side for side in sides]
    counts = [min(cells, side) for side in sides]
    return np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), counts)


def painted(values: Float[Array, "b n"], segments: Segments) -> Float[Array, "b ..."]:
    """The value of each segment at all its places."""
    return jnp.take(values, jnp.asarray(segments), axis=1)


def lime(
    score: Score,
    inputs: Float[Array, "b ... c"],
    target: Target,
    key: Key[Array, ""],
    *,
    segments: Segments,
    samples: int = 500,
    baseline: Baseline = 0.0,
    width: float = 0.25,
    ridge: float = 1e-3,
) -> Float[Array, "b n"]:
    r"""Weights of a linear model that says how the score changes as segments are hidden.

    Weighted least squares over random subsets, each by \(\exp(-d^2 / \mathrm{width}^2)\) of its
    cosine distance \(d\) from the whole. Ribeiro et al. 2016, https://arxiv.org/abs/1602.04938.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.
        key: draws the subsets, each segment with probability one half.
        segments: the number of the segment of each place.
        samples: number of subsets.
        baseline: what hides, in units of the network's input; broadcasts.
        width: of the kernel.
        ridge: penalty of the squared weights, as a share of the sum of the kernel.
    """
    count = _count(segments)
    shown = jax.random.bernoulli(key, 0.5, (samples, count)).at[0].set(True)
    scores = _scores(score, inputs, target, segments, baseline, shown)  # (samples, b)
    design = shown.astype(scores.dtype)
    distance = 1 - jnp.sqrt(design.mean(axis=1))
    kernel = jnp.exp(-jnp.square(distance / width))
    center = lambda x: x - (kernel @ x / kernel.sum())[None]  # noqa: E731
    design, scores = center(design), center(scores)
    penalty = ridge * kernel.sum() * jnp.eye(count, dtype=design.dtype)
    weighted = design * kernel[:, None]
    return jnp.linalg.solve(weighted.T @ design + penalty, weighted.T @ scores).T


def shapley(
    score: Score,
    inputs: Float[Array, "b ... c"],
    target: Target,
    key: Key[Array, ""] | None = None,
    *,
    segments: Segments,
    orders: int | None = None,
    baseline: Baseline = 0.0,
) -> Float[Array, "b n"]:
    """Shapley values: what a segment adds to the score when it is shown, over orders of showing.

    The sum over segments is the score of the input less that of the baseline, whatever the orders.
    Castro et al. 2009, https://doi.org/10.1016/j.cor.2008.04.004.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.
        key: draws the orders; None with `orders=None`.
        segments: the number of the segment of each place.
        orders: how many orders are drawn; None tries all, and is exact.
        baseline: what hides, in units of the network's input; broadcasts.

    Raises:
        UsageError: all orders are asked for and there are too many, or no key is given for some.
    """
    count = _count(segments)
    tried = _orders(count, orders, key)

    def along(total: Array, order: Array) -> tuple[Array, None]:
        place = jnp.argsort(order)
        shown = place[None] < jnp.arange(count + 1)[:, None]
        scores = _scores(score, inputs, target, segments, baseline, shown)  # (count + 1, b)
        return total + jnp.diff(scores, axis=0)[place].T, None

    start = jnp.zeros((len(inputs), count), jax.eval_shape(score, inputs).dtype)
    return jax.lax.scan(along, start, tried)[0] / len(tried)


def _orders(count: int, orders: int | None, key: Any) -> Any:
    if orders is None:
        if count > MOST_EXACT:
            raise UsageError(
                f"all orders of {count} segments are too many; give `orders` and a `key`, or at "
                f"most {MOST_EXACT} segments"
            )
        return np.array(list(itertools.permutations(range(count))))
    if key is None or orders < 1:
        raise UsageError(f"`orders` must be at least 1 and need a `key`, got {orders} and {key}")
    return jax.vmap(lambda k: jax.random.permutation(k, count))(jax.random.split(key, orders))


def _count(segments: Segments) -> int:
    return int(np.asarray(segments).max()) + 1


def _scores(
    score: Score, inputs: Any, target: Target, segments: Segments, baseline: Baseline, shown: Any
) -> Float[Array, "n b"]:
    """Scores of the inputs of which only some segments are shown, one subset after the other."""
    cover, where = like(baseline, inputs), jnp.asarray(segments)

    def one(visible: Array) -> Array:
        mask = visible[where][None, ..., None]
        return chosen(score(jnp.where(mask, inputs, cover)), target)

    return jax.lax.map(one, shown)
