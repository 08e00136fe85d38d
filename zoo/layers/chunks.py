"""Work on a long axis, one chunk at a time."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array


def cut(x: Array, axis: int, chunk: int) -> Array:
    """The chunks of one axis as a new first axis; the last one is filled up with zeros."""
    chunks = -(-x.shape[axis] // chunk)
    ends = [(0, 0)] * x.ndim
    ends[axis] = (0, chunks * chunk - x.shape[axis])
    x = jnp.pad(x, ends)
    x = x.reshape(*x.shape[:axis], chunks, chunk, *x.shape[axis + 1 :])
    return jnp.moveaxis(x, axis, 0)


def scan_chunks(step: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """`step(module, carry, chunk)`, which gives the new carry and a result, over all chunks.

    What a step keeps for its gradient exists for one chunk only: its work is done again in the
    backward pass. All chunks share the parameters, and each has its own dropout.
    """
    return nn.scan(
        nn.remat(step),
        variable_broadcast="params",
        split_rngs={"params": False, "dropout": True},
    )
