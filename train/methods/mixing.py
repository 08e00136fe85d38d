r"""Mixup and CutMix: examples made of two, labels of both.

Mixup: \(\tilde x = \lambda x_i + (1 - \lambda) x_j\) with \(\lambda \sim
\mathrm{Beta}(\alpha, \alpha)\); Zhang et al. 2018, https://arxiv.org/abs/1710.09412. CutMix: a box
of \(x_j\) with a share \(1 - \lambda\) of the area takes the place of \(x_i\)'s; Yun et al. 2019,
https://arxiv.org/abs/1905.04899, algorithm A1.

The partner is the next example of the global batch, which is in random order; one \(\lambda\) is
drawn for each batch. `mixup_or_cutmix` draws for each batch which of the two it is, as timm does.

>>> objective = on(mixup(0.2), supervised())
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from train.objective import Batch
from train.task import Mixture
from zoo.errors import UsageError

Transform = Callable[[Batch, Batch, Any], Batch]


def mixup(alpha: float = 0.2) -> Transform:
    """Weighted sums of an example and the next; any inputs and labels."""
    _require_positive(alpha)

    def transform(batch: Batch, following: Batch, key: Any) -> Batch:
        share = jax.random.beta(key, alpha, alpha)
        x, y = batch["input"], following["input"]
        return _mixed(batch, following, (share * x + (1 - share) * y).astype(x.dtype), share)

    return transform


def cutmix(alpha: float = 1.0) -> Transform:
    """A box of the next image in each image, (b, h, w, c)."""
    _require_positive(alpha)

    def transform(batch: Batch, following: Batch, key: Any) -> Batch:
        x, y = batch["input"], following["input"]
        if x.ndim != 4:
            raise UsageError(f"cutmix is for images, (b, h, w, c), got inputs of shape {x.shape}")
        sizes, places = jax.random.split(key)
        side = jnp.sqrt(1 - jax.random.beta(sizes, alpha, alpha))
        rows, columns = (_span(jax.random.fold_in(places, n), side, x.shape[n + 1]) for n in (0, 1))
        box = (rows[:, None] & columns[None])[None, :, :, None]
        return _mixed(batch, following, jnp.where(box, y, x), 1 - box.mean(dtype=jnp.float32))

    return transform


_mixup, _cutmix = mixup, cutmix  # names of arguments of what follows


def mixup_or_cutmix(mixup: float = 0.2, cutmix: float = 1.0, share: float = 0.5) -> Transform:
    """One of the two for each batch (Wightman et al. 2021, https://arxiv.org/abs/2110.00476).

    Args:
        mixup: alpha of mixup.
        cutmix: alpha of CutMix.
        share: of batches that CutMix changes.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"`share` must be from 0 to 1, got {share}")
    sums, boxes = _mixup(mixup), _cutmix(cutmix)

    def transform(batch: Batch, following: Batch, key: Any) -> Batch:
        which, drawn = jax.random.split(key)
        cut = jax.random.bernoulli(which, share)
        both = (mix(batch, following, drawn) for mix in (boxes, sums))
        return jax.tree.map(lambda a, b: jnp.where(cut, a, b), *both)

    return transform


def _span(key: Any, share: Float[Array, ""], size: int) -> Array:
    """Pixels of a side that are in the box, which has a uniform centre and is cut at the edges."""
    centre = jax.random.randint(key, (), 0, size)
    half = jnp.floor(share * size).astype(jnp.int32) // 2
    place = jnp.arange(size)
    return (place >= centre - half) & (place < centre + half)


def _mixed(batch: Batch, following: Batch, inputs: Array, share: Float[Array, ""]) -> Batch:
    shares = jnp.broadcast_to(share, inputs.shape[:1])
    return {**batch, "input": inputs, "label": Mixture(batch["label"], following["label"], shares)}


def _require_positive(alpha: float) -> None:
    if not alpha > 0:
        raise UsageError(f"`alpha` must be positive, got {alpha}")
