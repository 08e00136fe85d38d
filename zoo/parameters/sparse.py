"""Kernels most of whose numbers are zero and stay so, as those of a sparse recurrent network.

The smallest numbers of each kernel go, up to a percentile of their sizes. Narang et al. 2017,
"Exploring sparsity in recurrent neural networks", https://arxiv.org/abs/1704.05119.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from zoo.errors import UsageError
from zoo.parameters.pair import Parameters
from zoo.parameters.select import map_chosen, several

KERNELS = "(^|/)kernel$"


def sparse(patterns: str | Sequence[str] = KERNELS, *, share: float = 0.9) -> Parameters:
    """Zeroes a share of each chosen kernel, the smallest of it, and trains what is left.

    What is zero is chosen by the parameters that are given, and stays.

    >>> recurrent = sparse("step/hidden/kernel$", share=0.9)  # of an LSTM, not what reads inputs

    Args:
        patterns: as in `zoo.parameters.select`; leaves of fewer than two axes are left alone.
        share: of the numbers of each kernel that are zero, in [0, 1).

    Raises:
        UsageError: the share is another.
    """
    if not 0 <= share < 1:
        raise UsageError(f"`share` must be at least 0 and less than 1, got {share}")

    def split(params: Any) -> tuple[Any, Any]:
        whole = jax.tree.map(lambda _: jnp.ones((), bool), params)
        return params, map_chosen(lambda w, _: largest(w, share), patterns, params, whole)

    def join(trained: Any, kept: Any) -> Any:
        return jax.tree.map(lambda w, mask: w * mask.astype(w.dtype), trained, kept)

    stored_as = {
        "name": "sparse",
        "arguments": {"patterns": list(several(patterns)), "share": share},
    }
    return Parameters(split, join, stored_as=stored_as)


def largest(kernel: Float[Array, "..."], share: float) -> Bool[Array, "..."]:
    """Where a kernel's numbers are, all but a share of them, the smallest."""
    order = jnp.argsort(jnp.argsort(jnp.abs(kernel).reshape(-1)))
    return (order >= kernel.size - _count(kernel, share)).reshape(kernel.shape)


def pack(params: Any, *, patterns: str | Sequence[str] = KERNELS, share: float = 0.9) -> Any:
    """The numbers that are left of each chosen kernel, and a bit for each that says where.

    A kernel of n numbers becomes `{"values": float32, "places": uint8}`, ceil(n / 8) bytes of
    which number i has the bit i, least significant first.
    """

    def packed(kernel: Array) -> dict[str, Array]:
        mask = largest(kernel, share).reshape(-1)
        (places,) = jnp.nonzero(mask, size=_count(kernel, share))
        bits = jnp.packbits(mask.astype(jnp.uint8), bitorder="little")
        return {"values": kernel.reshape(-1)[places], "places": bits}

    return map_chosen(packed, patterns, params)


def unpack(
    stored: Any, like: Any, *, patterns: str | Sequence[str] = KERNELS, share: float = 0.9
) -> Any:
    """The kernels that `pack` stored, bit for bit."""

    def unpacked(kernel: Any, packed: dict[str, Array]) -> Array:
        bits = jnp.unpackbits(packed["places"], count=kernel.size, bitorder="little")
        (places,) = jnp.nonzero(bits, size=_count(kernel, share))
        whole = jnp.zeros(kernel.size, kernel.dtype).at[places].set(packed["values"])
        return whole.reshape(kernel.shape)

    return map_chosen(unpacked, patterns, like, stored)


def _count(kernel: Any, share: float) -> int:
    """How many numbers of a kernel are left."""
    return kernel.size - round(share * kernel.size)
