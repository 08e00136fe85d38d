"""Occlusion: how much the score falls when a window is covered."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.explain.gradients import Baseline, Score, Target, chosen, like


def occlusion(
    score: Score,
    inputs: Float[Array, "b ... c"],
    target: Target,
    *,
    window: int,
    stride: int | None = None,
    baseline: Baseline = 0.0,
) -> Float[Array, "b ..."]:
    """The fall of a score when a window is covered, the mean over all windows on a place.

    Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901, section 4.2. One pass through the network
    for each window.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: images (b, h, w, c), or series (b, l, c).
        target: the class that is explained, one number or one per example.
        window: side of the square, in places.
        stride: from one window to the next; None is half a window. The last ones end with the
            input.
        baseline: what covers, in units of the network's input; broadcasts.

    Raises:
        UsageError: the window does not fit into the input, or the stride leaves gaps.
    """
    sides, step = inputs.shape[1:-1], max(1, window // 2) if stride is None else stride
    if not 1 <= window <= min(sides):
        raise UsageError(f"`window` must be from 1 to {min(sides)} places, got {window}")
    if not 1 <= step <= window:
        raise UsageError(f"`stride` must be from 1 to the window's {window} places, got {step}")
    whole, cover = chosen(score(inputs), target), like(baseline, inputs)

    def cover_one(sums: tuple[Array, Array], corner: Array) -> tuple[tuple[Array, Array], None]:
        inside = _window(sides, corner, window).astype(inputs.dtype)
        masked = jnp.where(inside[None, ..., None] > 0, cover, inputs)
        fall = whole - chosen(score(masked), target)
        falls, counts = sums
        spread = fall.reshape(-1, *(1,) * len(sides)) * inside[None]
        return (falls + spread, counts + inside), None

    start = jnp.zeros((len(inputs), *sides), whole.dtype), jnp.zeros(sides, inputs.dtype)
    (falls, counts), _ = jax.lax.scan(cover_one, start, jnp.asarray(corners(sides, window, step)))
    return falls / counts[None]


def corners(sides: Sequence[int], window: int, stride: int) -> np.ndarray:
    """First places of all windows, (n, axes); the last of each axis ends with it."""
    axes = [np.append(np.arange(0, side - window, stride), side - window) for side in sides]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(sides))


def _window(sides: Sequence[int], corner: Any, window: int) -> Array:
    """True inside the window."""
    inside = jnp.ones(tuple(sides), bool)
    for axis, side in enumerate(sides):
        place = jnp.arange(side) - corner[axis]
        shape = [side if i == axis else 1 for i in range(len(sides))]
        inside = inside & ((place >= 0) & (place < window)).reshape(shape)
    return inside
