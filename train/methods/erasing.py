r"""Random erasing of whole batches on the device: a rectangle of each image is hidden.

Zhong et al. 2017, https://arxiv.org/abs/1708.04896. The share of the area is uniform and the
logarithm of the ratio of height to width too; of ten draws the first counts that is smaller than
the image both ways. Images are normalised: what is hidden is 0, the mean of the pixels, or normal
noise. Labels stay. It is timm's `RandomErasing` with one rectangle, "const" or "pixel".

Every image has draws of its own, which belong to its place in the global batch.

>>> objective = on(random_erasing(probability=0.25), supervised())
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from train.augment.checks import require, require_interval
from train.augment.geometry import ATTEMPTS
from train.objective import Batch
from zoo.errors import UsageError


class Draws(NamedTuple):
    """Numbers from 0 to 1 for each image, of which its rectangle is a function.

    Attributes:
        chance: hidden is something where it lies below the probability.
        area: of each attempt.
        ratio: of each attempt.
        top: where the rectangle begins, of the places that it may.
        left: likewise.
    """

    chance: Float[Array, " b"]
    area: Float[Array, "b n"]
    ratio: Float[Array, "b n"]
    top: Float[Array, " b"]
    left: Float[Array, " b"]


def random_erasing(
    probability: float = 0.25,
    scale: tuple[float, float] = (0.02, 1 / 3),
    ratio: tuple[float, float] = (0.3, 10 / 3),
    noise: bool = False,
) -> Callable[[Batch, Batch, Any], Batch]:
    """Hides a rectangle of each image, (b, h, w, c).

    Args:
        probability: that anything of an image is hidden.
        scale: least and greatest share of the area.
        ratio: least and greatest height over width.
        noise: fill with normal noise in place of 0.
    """
    require("probability", probability, 0, 1)
    require_interval("scale", scale, 1.0)
    require_interval("ratio", ratio)

    def transform(batch: Batch, following: Batch, key: Any) -> Batch:
        del following
        x = batch["input"]
        if x.ndim != 4:
            raise UsageError(
                f"random_erasing is for images, (b, h, w, c), got inputs of shape {x.shape}"
            )
        places, filling = jax.random.split(key)
        drawn = draw(places, len(x))
        hidden = (drawn.chance < probability)[:, None, None] & rectangles(
            drawn, x.shape[1:3], scale, ratio
        )
        fill = jax.random.normal(filling, x.shape, x.dtype) if noise else jnp.zeros_like(x)
        return {**batch, "input": jnp.where(hidden[..., None], fill, x)}

    return transform


def draw(key: Any, count: int) -> Draws:
    """Uniform numbers for so many images."""
    one, each = (count,), (count, ATTEMPTS)
    keys = jax.random.split(key, len(Draws._fields))
    return Draws(*map(jax.random.uniform, keys, (one, each, each, one, one)))


def rectangles(
    drawn: Draws, size: tuple[int, ...], scale: tuple[float, float], ratio: tuple[float, float]
) -> Bool[Array, "b h w"]:
    """Which pixels lie in the rectangle of each image; none if no attempt fits.

    Args:
        drawn: numbers from 0 to 1.
        size: height and width of the images.
        scale: least and greatest share of the area.
        ratio: least and greatest height over width.
    """
    height, width = size
    area = (scale[0] + (scale[1] - scale[0]) * drawn.area) * (height * width)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = jnp.exp(low + (high - low) * drawn.ratio)
    heights, widths = jnp.round(jnp.sqrt(area * aspect)), jnp.round(jnp.sqrt(area / aspect))
    fits = (heights < height) & (widths < width)
    first = fits & (jnp.cumsum(fits, axis=1) == 1)  # one of each row, or none
    rows = _span(drawn.top, jnp.sum(heights * first, axis=1), height)
    columns = _span(drawn.left, jnp.sum(widths * first, axis=1), width)
    return rows[:, :, None] & columns[:, None, :]


def _span(place: Float[Array, " b"], length: Float[Array, " b"], size: int) -> Bool[Array, "b s"]:
    """Places of a side in a span of that length, which may begin wherever it fits."""
    room = size - length
    start = jnp.minimum(jnp.floor(place * (room + 1)), room)[:, None]
    index = jnp.arange(size, dtype=length.dtype)[None]
    return (index >= start) & (index < start + length[:, None])
