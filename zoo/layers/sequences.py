"""Sequences of which networks read one step after another: images as such, lengths, pools."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from zoo.errors import UsageError
from zoo.layers.wide import wide

Lengths = Int[Array, " n"] | Int[np.ndarray, " n"]

POOLS: dict[str, Callable[[Array], Array]] = {  # of sequences (b, l, h)
    "mean": lambda x: x.mean(axis=1),
    "sum": lambda x: x.sum(axis=1),
    "first": lambda x: x[:, 0],
    "last": lambda x: x[:, -1],
}

POOLS_TO_LENGTH: dict[str, Callable[[Array, Array], Array]] = {  # of as many steps of each
    "mean": lambda x, lengths: (_total(x, lengths) / lengths[:, None]).astype(x.dtype),
    "sum": lambda x, lengths: _total(x, lengths).astype(x.dtype),
    "first": lambda x, lengths: x[:, 0],
    "last": lambda x, lengths: jnp.take_along_axis(x, lengths[:, None, None] - 1, axis=1)[:, 0],
}


def require_pool(pool: str) -> None:
    """Refuses the name of no pool.

    Raises:
        UsageError: says which there are.
    """
    if pool not in POOLS:
        raise UsageError(f"`pool` must be one of {', '.join(POOLS)}; got {pool!r}.")


def over_time(x: Float[Array, "b l h"], pool: str, lengths: Lengths | None) -> Float[Array, "b h"]:
    """What becomes of sequences over time, over all their steps or as many of each.

    Args:
        x: the sequences.
        pool: a name of `POOLS`.
        lengths: steps of each that count, or None for all.

    Raises:
        UsageError: as many lengths as sequences are required, none of them longer.
    """
    if lengths is None:
        return POOLS[pool](x)
    return POOLS_TO_LENGTH[pool](x, _checked(lengths, x))


def as_sequence(images: Float[Array, "b *space c"]) -> Float[Array, "b l c"]:
    """Sequences as they are, images as sequences of pixels, row by row.

    Raises:
        UsageError: inputs of another kind, or without a step.
    """
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise UsageError(
            "inputs must be sequences (batch, length, channels) or images (batch, height, "
            f"width, channels) with at least one step, got {images.shape}."
        )
    return jax.lax.collapse(images, 1, -1)


def _checked(lengths: Lengths, x: Float[Array, "b l h"]) -> Array:
    batch, length = x.shape[:2]
    if lengths.shape != (batch,):
        raise UsageError(
            f"`lengths` must be one number for each of {batch} sequences, got the shape "
            f"{lengths.shape}."
        )
    if not isinstance(lengths, Tracer):
        outside = np.flatnonzero((np.asarray(lengths) < 1) | (np.asarray(lengths) > length))
        if outside.size:
            raise UsageError(
                f"`lengths` must be from 1 to {length}, the steps of the longest sequence, got "
                f"{int(lengths[outside[0]])} for sequence {outside[0]}."
            )
    return jnp.asarray(lengths)


def _total(x: Float[Array, "b l h"], lengths: Lengths) -> Float[Array, "b h"]:
    """Sums over as many steps of each sequence, in at least float32."""
    there = jnp.arange(x.shape[1])[None] < lengths[:, None]
    return jnp.where(there[..., None], x, 0).sum(axis=1, dtype=wide(x.dtype))
