r"""Kernels of three values, trained through their rounding.

.. math:: W_q = m \cdot \mathrm{clip}(\mathrm{round}(W / m), -1, 1), \quad
    m = \max(\mathrm{measure}(|W|), 10^{-5})

The gradient of \(W_q\) is taken for that of \(W\). Nielsen & Schneider-Kamp 2024, "BitNet b1.58
Reloaded", https://arxiv.org/abs/2407.09527, section 3: the median is its proposal, the mean that
of Ma et al. 2024, https://arxiv.org/abs/2402.17764.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.parameters.pair import Parameters
from zoo.parameters.select import map_chosen, select, several

FLOOR, KERNELS = 1e-5, "(^|/)kernel$"


def ternary(patterns: str | Sequence[str] = KERNELS, *, measure: str = "median") -> Parameters:
    """Rounds the chosen kernels to {-m, 0, m} wherever they are used; trains what is rounded.

    What is published is rounded. With the median, rounding it again changes nothing, so a run that
    starts from it starts from the same network.

    >>> inner = ternary("^stage.*kernel$")  # stem and head stay as they are

    Args:
        patterns: as in `zoo.parameters.select`; leaves of fewer than two axes are left alone.
        measure: of the size of a kernel's entries; "max" leaves kernels of three values alone.
    """
    checked_measure("measure", measure)

    def split(params: Any) -> tuple[Any, Any]:
        select(params, patterns)
        return params, ()

    def join(trained: Any, kept: Any) -> Any:
        del kept
        return map_chosen(lambda w: _straight_through(w, measure), patterns, trained)

    stored_as = {"name": "ternary", "arguments": {"patterns": list(several(patterns))}}
    return Parameters(split, join, stored_as=stored_as)


def layers(params: Any, patterns: str | Sequence[str] = KERNELS) -> list[str]:
    """Paths of the layers whose kernels are chosen."""
    flat: dict[Any, Any] = flatten_dict(params)
    chosen = flatten_dict(select(params, patterns))
    return ["/".join(path[:-1]) for path, leaf in flat.items() if chosen[path] and leaf.ndim > 1]


def rounded(kernel: Float[Array, "..."], measure: str = "median") -> Float[Array, "..."]:
    """The nearest kernel of three values."""
    size = jnp.maximum(measured(kernel, measure), FLOOR)
    return size * jnp.clip(jnp.round(kernel / size), -1, 1)


def pack(params: Any, *, patterns: str | Sequence[str] = KERNELS) -> Any:
    """Kernels of three values as two bits a number and one scale: ceil(n / 4) + 4 bytes each.

    Each chosen kernel becomes `{"ternary": uint8, "scale": float32}`. Number i has the bits 2i and
    2i + 1 of the whole, least significant first, which hold its sign plus one.
    """
    return map_chosen(_pack, patterns, params)


def unpack(stored: Any, like: Any, *, patterns: str | Sequence[str] = KERNELS) -> Any:
    """The kernels that `pack` stored, bit for bit."""
    return map_chosen(_unpack, patterns, like, stored)


def _pack(kernel: Array) -> dict[str, Array]:
    scale = jnp.abs(kernel).max()
    signs = jnp.sign(kernel).astype(jnp.int8).reshape(-1) + 1
    quarters = jnp.pad(signs, (0, -signs.size % 4)).reshape(-1, 4).astype(jnp.uint8)
    shifts = jnp.arange(0, 8, 2, dtype=jnp.uint8)[None]
    return {"ternary": (quarters << shifts).sum(1, dtype=jnp.uint8), "scale": scale}


def _unpack(like: Any, stored: dict[str, Array]) -> Array:
    shifts = jnp.arange(0, 8, 2, dtype=jnp.uint8)[None]
    signs = ((stored["ternary"][:, None] >> shifts) & 3).reshape(-1)[: like.size]
    return ((signs.astype(jnp.int8) - 1) * stored["scale"]).reshape(like.shape).astype(like.dtype)


def _straight_through(kernel: Array, measure: str) -> Array:
    # The difference is zero, exactly, and has the gradient.
    return jax.lax.stop_gradient(rounded(kernel, measure)) + (
        kernel - jax.lax.stop_gradient(kernel)
    )


def measured(x: Float[Array, "..."], measure: str, axis: int | None = None) -> Array:
    """The size of entries, of all or along an axis that stays, with length one."""
    kept = axis is not None
    return MEASURES[measure](jnp.abs(x), axis=axis, keepdims=kept)


def checked_measure(name: str, measure: Any, also: Any = "median") -> None:
    """Refuses what is no measure, or `also`.

    Raises:
        UsageError: as said.
    """
    if measure != also and (not isinstance(measure, str) or measure not in MEASURES):
        raise UsageError(f"`{name}` must be one of {', '.join(MEASURES)}; got {measure!r}")


def _lower_median(x: Array, axis: int | None, keepdims: bool) -> Array:
    """The middle value, of an even count the lower one."""
    x = x.reshape(-1) if axis is None else x
    middle = (x.shape[-1] - 1) // 2
    found = jnp.sort(x, axis=-1)[..., middle]
    return found[..., None] if keepdims else found


MEASURES = {"median": _lower_median, "mean": jnp.mean, "max": jnp.max}
