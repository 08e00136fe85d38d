r"""Kernels of three values, trained through their rounding.

.. math:: W_q = m \cdot \mathrm{clip}(\mathrm{round}(W / m), -1, 1), \quad
    m = \max(\mathrm{measure}(|W|), 10^{-5})

The gradient of \(W_q\) is taken for that of \(W\). Nielsen & Schneider-Kamp 2024, "BitNet b1.58
Reloaded", https://arxiv.org/abs/2407.09527, section 3: the median is its proposal, the mean that
of Ma et al. 2024, https://arxiv.org/abs/2402.17764.
"""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.parameters.pair import Parameters
from zoo.parameters.select import select

FLOOR = 1e-5
Measure = Literal["median", "mean"]


def ternary(
    patterns: str | Sequence[str] = "(^|/)kernel$", *, measure: Measure = "median"
) -> Parameters:
    """Rounds the chosen kernels to {-m, 0, m} wherever they are used; trains what is rounded.

    What is published is rounded. With the median, rounding it again changes nothing, so a run that
    starts from it starts from the same network.

    >>> inner = ternary("^stage.*kernel$")  # stem and head stay as they are

    Args:
        patterns: as in `zoo.parameters.select`; leaves of fewer than two axes are left alone.
        measure: of the size of a kernel's entries.
    """
    if measure not in MEASURES:
        raise UsageError(f"`measure` must be one of {', '.join(MEASURES)}; got {measure!r}")

    def split(params: Any) -> tuple[Any, Any]:
        select(params, patterns)
        return params, ()

    def join(trained: Any, kept: Any) -> Any:
        del kept
        return jax.tree.map(
            lambda w, chosen: _straight_through(w, measure) if chosen and w.ndim > 1 else w,
            trained,
            select(trained, patterns),
        )

    return Parameters(split, join)


def rounded(kernel: Float[Array, "..."], measure: str = "median") -> Float[Array, "..."]:
    """The nearest kernel of three values."""
    size = jnp.maximum(MEASURES[measure](jnp.abs(kernel)), FLOOR)
    return size * jnp.clip(jnp.round(kernel / size), -1, 1)


def _straight_through(kernel: Array, measure: str) -> Array:
    # The difference is zero, exactly, and has the gradient.
    return jax.lax.stop_gradient(rounded(kernel, measure)) + (
        kernel - jax.lax.stop_gradient(kernel)
    )


def _lower_median(x: Array) -> Array:
    """The middle value, of an even count the lower one."""
    return jnp.sort(x.reshape(-1))[(x.size - 1) // 2]


MEASURES = {"median": _lower_median, "mean": jnp.mean}
