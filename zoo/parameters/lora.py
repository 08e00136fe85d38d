r"""Low-rank adaptation: pretrained kernels stay, a product of two thin matrices is learnt.

.. math:: W = W_0 + \frac{\alpha}{r} A B, \quad A \in \mathbb{R}^{m \times r},\;
    B \in \mathbb{R}^{r \times n}

Hu et al. 2022, "LoRA: low-rank adaptation of large language models",
https://arxiv.org/abs/2106.09685, section 4.1.
"""

import math
import zlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from zoo.errors import UsageError
from zoo.parameters.pair import Parameters
from zoo.parameters.select import select, several


def lora(
    rank: int = 4,
    *,
    alpha: float | None = None,
    kernels: str | Sequence[str] = ("(^|/)kernel$",),
    whole: str | Sequence[str] = (),
    convolutions: bool = True,
    seed: int = 0,
) -> Parameters:
    r"""Trains \(A\) and \(B\) of each chosen kernel. \(B\) is zero at first, so nothing changes.

    Kernels of convolutions count as matrices of (height * width * inputs, outputs). What is
    published is \(W\): an ordinary checkpoint.

    >>> adapted = lora(rank=8, whole="^head/")  # a fresh head is trained as it is

    Args:
        rank: r.
        alpha: scale of the product; None is r, a factor of one.
        kernels: patterns of the adapted leaves, as in `zoo.parameters.select`; leaves of fewer
            than two axes are left alone.
        whole: patterns of leaves that are trained themselves; they go first.
        convolutions: adapts kernels of more than two axes too, not only those of dense maps.
        seed: of the first \(A\), normal with variance \(1 / m\).

    Raises:
        UsageError: the rank is below one, or there is no kernel to adapt.
    """
    if rank < 1:
        raise UsageError(f"`rank` must be at least 1, got {rank}")
    scale = 1.0 if alpha is None else alpha / rank

    def split(params: Any) -> tuple[Any, Any]:
        kinds = dict.fromkeys(several(whole), "whole") | dict.fromkeys(several(kernels), "kernel")
        flat: dict[Any, Any] = flatten_dict(params)
        kind = flatten_dict(select(params, kinds, default="kept"))
        trained: dict[Any, Any] = {p: leaf for p, leaf in flat.items() if kind[p] == "whole"}
        kept = {p: leaf for p, leaf in flat.items() if kind[p] != "whole"}
        kernels_kept = {p: leaf for p, leaf in kept.items() if kind[p] == "kernel"}
        for path in _adapted(kernels_kept, convolutions):
            trained[*path, "lora"] = _factors("/".join(path), kept[path])
        return unflatten_dict(trained), unflatten_dict(kept)

    def _factors(path: str, kernel: Any) -> dict[str, Any]:
        rows, columns = kernel.size // kernel.shape[-1], kernel.shape[-1]
        key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(path.encode()))
        a = jax.random.normal(key, (rows, rank), kernel.dtype) / rows**0.5
        return {"a": a, "b": jnp.zeros((rank, columns), kernel.dtype)}

    def join(trained: Any, kept: Any) -> Any:
        new: dict[Any, Any] = flatten_dict(trained)
        joined: dict[Any, Any] = flatten_dict(kept)
        for path, leaf in new.items():
            if path[-2:] == ("lora", "a"):
                kernel = path[:-2]
                product = leaf @ new[*path[:-1], "b"]
                joined[kernel] += scale * product.reshape(joined[kernel].shape)
            elif path[-2:] != ("lora", "b"):
                joined[path] = leaf
        return unflatten_dict(joined)

    return Parameters(split, join)


def _adapted(kernels: dict[Any, Any], convolutions: bool) -> list[Any]:
    """Paths of the kernels beside which something is learnt."""
    most = math.inf if convolutions else 2
    found = [path for path, leaf in kernels.items() if 1 < leaf.ndim <= most]
    if not found:
        which = "more than one axis" if convolutions else "two axes, as dense maps have"
        raise UsageError(f"`lora` finds no kernel of {which} beside what is trained as a whole")
    return found
