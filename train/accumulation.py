"""Batches in slices: what is computed of each, one after another, and averaged.

The gradient of a batch takes the memory of a slice; without batch norms it is the same gradient.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from train.noise import WHOLE, Slice
from zoo.errors import UsageError

Batch = dict[str, Any]


def over_slices(
    compute: Callable[[Batch, Any, Slice], tuple[Any, PyTree]],
    batch: Batch,
    batch_stats: PyTree,
    count: int,
) -> tuple[PyTree, PyTree]:
    """Computes something of each of `count` slices of a batch.

    Slice n has the examples n, n + count, n + 2 count, ...: on every device, as many of its own.

    Args:
        compute: (slice of the batch, statistics, which) -> (statistics, tree of means).
        batch: arrays whose first axis counts examples.
        batch_stats: running statistics, which go from slice to slice.
        count: slices.

    Returns:
        Statistics after the last slice, and the means over all of them.

    Raises:
        UsageError: the batch cannot be split evenly.
    """
    if count == 1:
        return compute(batch, batch_stats, WHOLE)
    parts = jax.tree.map(lambda x: _split(x, count), batch)

    def next_one(carry: Any, n: Any) -> tuple[Any, None]:
        stats, total = carry
        here = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, n, 1, keepdims=False), parts)
        stats, found = compute(here, stats, Slice(n, count))
        return (stats, jax.tree.map(jnp.add, total, found)), None

    first = jax.tree.map(lambda x: x[:, 0], parts)
    _, shapes = jax.eval_shape(lambda b, s: compute(b, s, Slice(0, count)), first, batch_stats)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    (batch_stats, total), _ = jax.lax.scan(next_one, (batch_stats, zeros), jnp.arange(count))
    return batch_stats, jax.tree.map(lambda t: t / count, total)


def _split(x: Any, count: int) -> Any:
    """(b, ...) to (b / count, count, ...)."""
    if x.shape[0] % count:
        raise UsageError(
            f"`accumulate` must divide the examples of each device, and {count} does not divide "
            f"{x.shape[0]}; take another, or another batch size"
        )
    return x.reshape(-1, count, *x.shape[1:])
