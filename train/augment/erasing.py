"""A rectangle of each picture is hidden: random erasing (Zhong et al. 2017, 1708.04896), Cutout.

The form for whole batches on the device, which fills with the mean or with normal noise, is the
objective `random_erasing`, see `train.methods.erasing`.
"""

from typing import NamedTuple

import numpy as np

from train.augment.checks import require, require_interval
from train.augment.geometry import ATTEMPTS, drawn_region
from train.augment.operation import Operation, Picture, Size, picture_of, pixels


class Erased(NamedTuple):
    """A rectangle, and the seed of the noise in it."""

    top: int
    left: int
    height: int
    width: int
    seed: int = 0


def random_erasing(
    probability: float = 0.25,
    scale: tuple[float, float] = (0.02, 1 / 3),
    ratio: tuple[float, float] = (0.3, 10 / 3),
    fill: int = 0,
    noise: bool = False,
) -> Operation:
    """Hides a rectangle of a picture.

    Ten draws of area and aspect ratio; the first rectangle that is smaller than the picture both
    ways is hidden, and none if there is none. The draws are those of torchvision's `RandomErasing`;
    there, noise is normal and comes after normalisation, here it is uniform over the levels.

    Args:
        probability: that anything is hidden.
        scale: least and greatest share of the area.
        ratio: least and greatest height over width; its logarithm is uniform.
        fill: level from 0 to 255, of all channels.
        noise: levels at random in its place.
    """
    require("probability", probability, 0, 1)
    require_interval("scale", scale, 1.0)
    require_interval("ratio", ratio)
    require("fill", fill, 0, 255)

    def draw(rng: np.random.Generator, size: Size) -> Erased | None:
        return _rectangle(rng, size, scale, ratio) if rng.random() < probability else None

    def apply(picture: Picture, erased: Erased | None) -> Picture:
        return picture if erased is None else _hidden(picture, erased, None if noise else fill)

    return Operation(draw, apply)


def cutout(size: int = 16, fill: int = 0) -> Operation:
    """Hides a square, whose centre is any pixel: at the edges less of it is seen.

    DeVries & Taylor 2017, https://arxiv.org/abs/1708.04552.

    Args:
        size: side of the square in pixels.
        fill: level from 0 to 255, of all channels; the paper's is the mean of the data.
    """
    require("size", size, 1)
    require("fill", fill, 0, 255)

    def draw(rng: np.random.Generator, shape: Size) -> Erased:
        spans = []
        for side in reversed(shape):
            first = int(rng.integers(0, side)) - size // 2
            spans.append((max(first, 0), min(first + size, side)))
        (top, bottom), (left, right) = spans
        return Erased(top, left, bottom - top, right - left)

    return Operation(draw, lambda picture, erased: _hidden(picture, erased, fill))


def _rectangle(
    rng: np.random.Generator, size: Size, scale: tuple[float, float], ratio: tuple[float, float]
) -> Erased | None:
    width, height = size
    for _ in range(ATTEMPTS):
        h, w = drawn_region(rng, size, scale, ratio)
        if h < height and w < width:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            return Erased(int(top), int(left), h, w, int(rng.integers(0, 2**31)))
    return None


def _hidden(picture: Picture, erased: Erased, fill: int | None) -> Picture:
    array = np.array(pixels(picture))
    top, left, height, width, seed = erased
    inside = array[top : top + height, left : left + width]
    noise = np.random.default_rng(seed).integers(0, 256, inside.shape, np.uint8)
    inside[:] = noise if fill is None else fill
    return picture_of(array)
