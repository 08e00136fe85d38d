r"""Kernels as products of two thin ones, whose columns are in the order of what they are worth.

.. math:: W = U V^T, \quad U \in \mathbb{R}^{m \times r},\; V \in \mathbb{R}^{n \times r}

A kernel of a convolution counts as a matrix of (height * width * inputs, outputs): U is a
convolution to r channels, "down", and V a map of each place, "up". It pays where
\(r (m + n) < m n\). Training with the first b columns alone, b by chance, orders them, so that a
prefix is the best map of its rank: Horváth et al. 2023, "Maestro", https://arxiv.org/abs/2308.14929.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.parameters.select import select

KERNELS = "(^|/)kernel$"
Ranks = dict[str, int]  # by the path of a layer


def whole_ranks(params: Any, layers: set[str], patterns: str | Sequence[str] = KERNELS) -> Ranks:
    """The rank at which each chosen kernel can be any matrix, min(m, n), by its layer's path.

    Args:
        params: of the network, or their shapes.
        layers: paths of the layers that can be two maps.
        patterns: of the kernels, as in `zoo.parameters.select`.

    Raises:
        UsageError: none of them is such a kernel.
    """
    flat: Any = flatten_dict(params, sep="/")
    chosen = flatten_dict(select(params, patterns), sep="/")
    kernels = {path.rpartition("/")[0]: leaf for path, leaf in flat.items() if chosen[path]}
    ranks = {p: min(_sides(leaf)) for p, leaf in kernels.items() if p in layers and leaf.ndim > 1}
    if not ranks:
        raise UsageError(f"no kernel that `patterns` {patterns!r} match can be two thin ones")
    return ranks


def factored(params: Any, ranks: Mapping[str, int]) -> Any:
    r"""Parameters of the network in which layers are two maps, the nearest of such ranks.

    Both have a half of the singular values: \(U \sqrt S\) and \(\sqrt S V^T\).

    Args:
        params: of the network.
        ranks: of the layers that become two, as `zoo.parameters.widths` has them.
    """
    flat: Any = flatten_dict(params, sep="/")
    for path, rank in ranks.items():
        kernel = flat.pop(f"{path}/kernel")
        u, s, v = jnp.linalg.svd(kernel.reshape(_sides(kernel)), full_matrices=False)
        half = jnp.sqrt(s[:rank])
        down, up = u[:, :rank] * half[None], half[:, None] * v[:rank]
        flat[f"{path}/down/kernel"] = down.reshape(*kernel.shape[:-1], rank)
        flat[f"{path}/up/kernel"] = up.reshape((1,) * (kernel.ndim - 2) + up.shape)
        if f"{path}/bias" in flat:
            flat[f"{path}/up/bias"] = flat.pop(f"{path}/bias")
    return unflatten_dict(flat, sep="/")


def truncated(params: Any, ranks: Mapping[str, Any]) -> Any:
    """Factors of which only the first columns are not zero; ranks may be traced."""
    flat: Any = flatten_dict(params, sep="/")
    for path, rank in ranks.items():
        kept = (jnp.arange(flat[f"{path}/down/kernel"].shape[-1]) < rank).astype(jnp.float32)
        for name, ends in (("down", ()), ("up", (1,))):
            kernel = flat[f"{path}/{name}/kernel"]
            flat[f"{path}/{name}/kernel"] = kernel * kept.reshape(
                (1,) * (kernel.ndim - 1 - len(ends)) + kept.shape + ends
            )
    return unflatten_dict(flat, sep="/")


def cut(params: Any, ranks: Mapping[str, int], plain: Mapping[str, Any]) -> tuple[Any, Ranks]:
    """Parameters with the first columns, and the ranks of the layers that are still two.

    Where two maps have no fewer numbers than one, they are multiplied out.

    Args:
        params: with factors.
        ranks: how many columns are kept.
        plain: kernels of the layers before they were two, or their shapes, by path.
    """
    flat: Any = flatten_dict(params, sep="/")
    left: Ranks = {}
    for path, rank in ranks.items():
        down, up = flat[f"{path}/down/kernel"][..., :rank], flat[f"{path}/up/kernel"][..., :rank, :]
        flat |= {f"{path}/down/kernel": down, f"{path}/up/kernel": up}
        if rank * sum(_sides(plain[path])) < math.prod(_sides(plain[path])):
            left[path] = rank
            continue
        product = down.reshape(-1, rank) @ up.reshape(rank, -1)
        flat[f"{path}/kernel"] = product.reshape(plain[path].shape)
        del flat[f"{path}/down/kernel"], flat[f"{path}/up/kernel"]
        if f"{path}/up/bias" in flat:
            flat[f"{path}/bias"] = flat.pop(f"{path}/up/bias")
    return unflatten_dict(flat, sep="/"), left


def numbers(ranks: Mapping[str, int], plain: Mapping[str, Any]) -> int:
    """How many numbers the kernels of layers have at these ranks, two maps or one."""
    sides = {path: _sides(plain[path]) for path in ranks}
    return sum(min(ranks[p] * sum(both), math.prod(both)) for p, both in sides.items())


def column_norms(params: Any, ranks: Mapping[str, int]) -> dict[str, Array]:
    """Norms of the columns of U and of V of each layer, (2, r)."""
    flat: Any = flatten_dict(params, sep="/")
    norms = {}
    for path in ranks:
        down, up = flat[f"{path}/down/kernel"], flat[f"{path}/up/kernel"]
        squares = [jnp.square(down.reshape(-1, down.shape[-1])).sum(0)]
        squares.append(jnp.square(up.reshape(down.shape[-1], -1)).sum(1))
        norms[path] = jnp.sqrt(jnp.stack(squares) + 1e-12)
    return norms


def group_lasso(params: Any, ranks: Mapping[str, int]) -> Float[Array, ""]:
    r"""The hierarchical group lasso, which drives the last columns to zero first.

    .. math:: \sum_{layers} \sum_b |U_{b:}| + |V_{b:}|

    with Frobenius norms of the columns from b on (Maestro, equation 6).
    """
    total = jnp.zeros(())
    for norms in column_norms(params, ranks).values():
        tails = jnp.cumsum(jnp.square(norms)[:, ::-1], axis=1)
        total += jnp.sqrt(tails).sum()
    return total


def _sides(kernel: Any) -> tuple[int, int]:
    return math.prod(kernel.shape[:-1]), kernel.shape[-1]
