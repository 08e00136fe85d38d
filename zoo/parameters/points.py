r"""Kernels of few values in each bucket: equal steps, or points that are learnt.

A kernel is read in C order and cut into buckets, the last of which is filled up with its last
value. In a bucket of least value l and range r, number v becomes

.. math:: l + r\, p_j, \quad j = \arg\min_j |(v - l) / r - p_j|

where the points p are \(k / (2^{bits} - 1)\), or learnt. A range below 1e-10 counts as 1. Through
equal steps the gradient goes to what is rounded as if there were none; points that are learnt have
that of their own: the sum over the numbers assigned to one of gradient times range. Polino,
Pascanu & Alistarh 2018, "Model compression via distillation and quantization",
https://arxiv.org/abs/1802.05668, sections 2 to 4.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.parameters.pair import Parameters
from zoo.parameters.select import map_chosen, select, several

KERNELS, BUCKET, MOST_BITS = "(^|/)kernel$", 256, 8
LEAST_RANGE = 1e-10
POINTS, EXACT = "points", "exact"  # what is trained in the place of a kernel


def points(
    bits: int = 4,
    *,
    bucket: int = BUCKET,
    patterns: str | Sequence[str] = KERNELS,
) -> Parameters:
    """Rounds the chosen kernels to equal steps wherever they are used; trains what is rounded.

    Args:
        bits: of each number.
        bucket: numbers that share a least value and a range, 8 bytes beside them.
        patterns: as in `zoo.parameters.select`; leaves of fewer than two axes are left alone.

    Raises:
        UsageError: no such number of bits or bucket.

    >>> four = points(4, patterns="^stage.*kernel$")
    """
    check(bits, bucket)
    arguments = {"bits": bits, "bucket": bucket, "patterns": list(several(patterns))}

    def split(params: Any) -> tuple[Any, Any]:
        select(params, patterns)  # or it says what is wrong
        return params, ()

    def join(trained: Any, kept: Any) -> Any:
        del kept
        return map_chosen(lambda w: through(uniform(w, 2**bits, bucket), w), patterns, trained)

    return Parameters(split, join, stored_as={"name": "points", "arguments": arguments})


def learned_points(
    bits: int = 2,
    *,
    bucket: int = BUCKET,
    patterns: str | Sequence[str] = KERNELS,
    kernels: bool = False,
) -> Parameters:
    """Trains the points of each chosen kernel, which begin at quantiles.

    All other parameters are trained as they are. How the result is stored is known once it is
    trained, see `zoo.parameters.point_codes.stored_as`.

    Args:
        bits: as of `points`.
        bucket: as of `points`.
        patterns: as of `points`.
        kernels: also trains what is rounded, as `points` does; otherwise it stays, as in the paper.
    """
    check(bits, bucket)

    def split(params: Any) -> tuple[Any, Any]:
        flat: dict[Any, Any] = flatten_dict(params)
        chosen = flatten_dict(select(params, patterns))
        exact = {path: w for path, w in flat.items() if chosen[path] and w.ndim > 1}
        trained = {path: w for path, w in flat.items() if path not in exact}
        trained |= {(*path, POINTS): quantiles(w, bits, bucket) for path, w in exact.items()}
        if not kernels:
            return unflatten_dict(trained), unflatten_dict(exact)
        trained |= {(*path, EXACT): w for path, w in exact.items()}
        return unflatten_dict(trained), {}

    def join(trained: Any, kept: Any) -> Any:
        new: dict[Any, Any] = flatten_dict(trained)
        fixed: dict[Any, Any] = flatten_dict(kept)
        joined = {path: w for path, w in new.items() if path[-1] not in (POINTS, EXACT)}
        for path in (path[:-1] for path in new if path[-1] == POINTS):
            w = new[(*path, EXACT)] if kernels else fixed[path]
            rounded = nearest(w, new[(*path, POINTS)], bucket)
            joined[path] = rounded + (w - jax.lax.stop_gradient(w))
        return unflatten_dict(joined)

    return Parameters(split, join)


def check(bits: int, bucket: int) -> None:
    """Refuses numbers that mean nothing.

    Raises:
        UsageError: as said.
    """
    if not isinstance(bits, int) or not 1 <= bits <= MOST_BITS:
        raise UsageError(f"`bits` must be from 1 to {MOST_BITS}, got {bits!r}")
    if not isinstance(bucket, int) or bucket < 2:
        raise UsageError(f"`bucket` must be at least 2, got {bucket!r}")


def equal_steps(bits: int) -> Float[Array, " p"]:
    """Points at equal distances from 0 to 1."""
    levels = 2**bits
    return jnp.arange(levels, dtype=jnp.float32) / (levels - 1)


def quantiles(kernel: Float[Array, "..."], bits: int, bucket: int = BUCKET) -> Float[Array, " p"]:
    """Points between which a kernel has equally many numbers, from the least to the largest."""
    scaled, _, _ = buckets(kernel, bucket)
    return jnp.quantile(scaled.reshape(-1)[: kernel.size], equal_steps(bits))


def buckets(kernel: Float[Array, "..."], bucket: int | None) -> tuple[Array, Array, Array]:
    """Numbers scaled to 0 and 1, the least of each bucket and its range; None is one bucket."""
    flat = kernel.reshape(-1)
    bucket = flat.size if bucket is None else bucket
    rows = jnp.pad(flat, (0, -flat.size % bucket), mode="edge").reshape(-1, bucket)
    least, largest = rows.min(1, keepdims=True), rows.max(1, keepdims=True)
    span = jnp.where(largest - least < LEAST_RANGE, 1, largest - least)
    return (rows - least) / span, least, span


def assigned(scaled: Float[Array, "..."], points: Float[Array, " p"]) -> Array:
    """The number of the nearest point, of two the later one."""
    between = (points[1:] + points[:-1]) / 2
    return jnp.searchsorted(between, scaled, side="right")


def nearest(
    kernel: Float[Array, "..."], points: Float[Array, " p"], bucket: int | None = BUCKET
) -> Float[Array, "..."]:
    """The kernel of values at the points, differentiable in these."""
    scaled, least, span = jax.lax.stop_gradient(buckets(kernel, bucket))
    points = jnp.sort(points)
    rows = least + span * points[assigned(scaled, jax.lax.stop_gradient(points))]
    return rows.reshape(-1)[: kernel.size].reshape(kernel.shape)


def uniform(
    kernel: Float[Array, "..."], levels: int, bucket: int | None = BUCKET
) -> Float[Array, "..."]:
    """The kernel of values at so many equal steps; between two it is the even one."""
    scaled, least, span = buckets(kernel, bucket)
    rows = least + span * (jnp.round(scaled * (levels - 1)) / (levels - 1))
    return rows.reshape(-1)[: kernel.size].reshape(kernel.shape)


def through(rounded: Array, exact: Array) -> Array:
    """What is rounded, with the gradient of what is not."""
    return jax.lax.stop_gradient(rounded) + (exact - jax.lax.stop_gradient(exact))
