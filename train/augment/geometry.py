"""Where pixels lie: random crops, mirrors and affine maps."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from train.augment.checks import require, require_interval
from train.augment.operation import Operation, Picture, Size, picture_of, pixels

Box = tuple[int, int, int, int]  # left, top, right, bottom
Crop = Callable[[np.random.Generator, Size], Box]

ATTEMPTS = 10  # draws of a region, of which the first that fits is taken


def random_resized_crop(
    scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)
) -> Crop:
    """A region of random area and shape, which becomes the input of the network.

    Ten draws of area and aspect ratio, the first that fits in whole pixels, else the largest region
    in the middle whose ratio is allowed. Szegedy et al. 2014, https://arxiv.org/abs/1409.4842,
    section 6; the draws are those of torchvision's `RandomResizedCrop`. The interpolation is that
    of the weights.

    Args:
        scale: least and greatest share of the area.
        ratio: least and greatest width over height; its logarithm is uniform.
    """
    require_interval("scale", scale, 1.0)
    require_interval("ratio", ratio)

    def draw(rng: np.random.Generator, size: Size) -> Box:
        width, height = size
        for _ in range(ATTEMPTS):
            w, h = drawn_region(rng, size, scale, ratio)
            if 0 < w <= width and 0 < h <= height:
                top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
                return int(left), int(top), int(left) + w, int(top) + h
        return _middle(size, ratio)

    return draw


def random_crop(share: float = 480 / 512) -> Crop:
    """A region of fixed size anywhere in the picture, which becomes the input of the network.

    Kolesnikov et al. 2019 (BiT), https://arxiv.org/abs/1912.11370, section 3.3: pictures become
    squares of 512 pixels, of which 480 are seen, or of 160, of which 128 are.

    Args:
        share: of each side.
    """
    require("share", share, 1e-3, 1)

    def draw(rng: np.random.Generator, size: Size) -> Box:
        width, height = (max(round(side * share), 1) for side in size)
        left, top = rng.integers(0, size[0] - width + 1), rng.integers(0, size[1] - height + 1)
        left, top = int(left), int(top)
        return left, top, left + width, top + height

    return draw


def padded_crop(padding: int = 4, fill: int = 0) -> Operation:
    """A shift by up to `padding` pixels along each axis: a crop of the picture with a border.

    He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2; torchvision's
    `RandomCrop(size, padding)`.

    Args:
        padding: pixels of the border.
        fill: level from 0 to 255 of the border.
    """
    require("padding", padding, 0)
    require("fill", fill, 0, 255)

    def draw(rng: np.random.Generator, size: Size) -> tuple[int, int]:
        del size
        across, down = rng.integers(-padding, padding + 1, 2)
        return int(across), int(down)

    def apply(picture: Picture, shift: tuple[int, int]) -> Picture:
        across, down = map(float, shift)
        return translate_y(translate_x(picture, across, fill=fill), down, fill=fill)

    return Operation(draw, apply)


def drawn_region(
    rng: np.random.Generator, size: Size, scale: tuple[float, float], ratio: tuple[float, float]
) -> Size:
    """Width and height of a random region in whole pixels; it need not fit.

    Args:
        rng: generator of the draws: area, then aspect ratio.
        size: of the picture.
        scale: bounds of the share of the area, which is uniform.
        ratio: bounds of width over height, whose logarithm is uniform.
    """
    area = size[0] * size[1] * rng.uniform(*scale)
    aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def _middle(size: Size, ratio: tuple[float, float]) -> Box:
    """The largest region in the middle whose width over height lies in an interval."""
    width, height = size
    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def horizontal_flip(probability: float = 0.5) -> Operation:
    """The mirror image, left to right."""
    return _flip(probability, Image.Transpose.FLIP_LEFT_RIGHT)


def vertical_flip(probability: float = 0.5) -> Operation:
    """The mirror image, top to bottom."""
    return _flip(probability, Image.Transpose.FLIP_TOP_BOTTOM)


def _flip(probability: float, way: Image.Transpose) -> Operation:
    require("probability", probability, 0, 1)
    return Operation(
        lambda rng, size: rng.random() < probability,
        lambda picture, flipped: picture.transpose(way) if flipped else picture,
    )


def affine(
    rotate: float = 0.0, translate: float = 0.0, scale: float = 0.0, shear: float = 0.0
) -> Operation:
    """A small turn, shift, change of size and slant about the centre; outside is black.

    One bilinear interpolation for all four. Its draws are its own: torchvision's `RandomAffine`
    has other ranges for scale and shear.

    Args:
        rotate: largest rotation in degrees, either way.
        translate: largest shift along each axis, as a share of the side.
        scale: largest relative change of size: 0.25 draws a factor between 1 / 1.25 and 1.25.
        shear: largest horizontal shear in degrees, either way.
    """
    given = {"rotate": rotate, "translate": translate, "scale": scale, "shear": shear}
    for name, most in ("rotate", 180), ("translate", 1), ("scale", 100), ("shear", 89):
        require(name, given[name], 0, most)

    def draw(rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray]:
        turn, slant, growth = rng.uniform(-1, 1, 3)
        linear = linear_map(turn * rotate, slant * shear, (1 + scale) ** growth)
        return linear, translate * rng.uniform(-1, 1, 2)

    return Operation(draw, lambda picture, drawn: picture_of(warp(pixels(picture), *drawn)))


def linear_map(degrees: float, slant: float, factor: float) -> np.ndarray:
    """Rotation, shear (both in degrees) and size of a map of coordinates (x, y), (2, 2)."""
    angle = math.radians(degrees)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return rotation @ np.array([[1, math.tan(math.radians(slant))], [0, 1]]) * factor


def warp(
    image: UInt8[np.ndarray, "h w c"], linear: np.ndarray, shift: np.ndarray
) -> UInt8[np.ndarray, "h w c"]:
    """Applies an affine map about the centre, bilinearly; outside is black.

    Args:
        image: the pixels.
        linear: (2, 2), from output to input coordinates (x, y).
        shift: (2,), of the input region, as shares of width and height.
    """
    height, width, _ = image.shape
    centre = np.array([width / 2, height / 2])
    offset = centre - linear @ centre + shift * (width, height)
    data = (*linear[0], offset[0], *linear[1], offset[1])
    warped = picture_of(image).transform(
        (width, height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
    )
    return pixels(warped)


# Changes by one number, of which policies are made. Outside of the picture is `fill`, a level from
# 0 to 255 for all channels.


def shear_x(picture: Picture, slope: float, *, resample: int = 0, fill: int = 0) -> Picture:
    """Row y moves by `slope` times y to the left; row 0 stays."""
    return _mapped(picture, (1, slope, 0, 0, 1, 0), resample, fill)


def shear_y(picture: Picture, slope: float, *, resample: int = 0, fill: int = 0) -> Picture:
    """Column x moves by `slope` times x upwards; column 0 stays."""
    return _mapped(picture, (1, 0, 0, slope, 1, 0), resample, fill)


def translate_x(picture: Picture, shift: float, *, resample: int = 0, fill: int = 0) -> Picture:
    """All moves to the right by the whole part of `shift`, in pixels."""
    return _mapped(picture, (1, 0, -int(shift), 0, 1, 0), resample, fill)


def translate_y(picture: Picture, shift: float, *, resample: int = 0, fill: int = 0) -> Picture:
    """All moves downwards by the whole part of `shift`, in pixels."""
    return _mapped(picture, (1, 0, 0, 0, 1, -int(shift)), resample, fill)


def rotate(picture: Picture, degrees: float, *, resample: int = 0, fill: int = 0) -> Picture:
    """A turn about the centre, counter-clockwise."""
    return picture.rotate(degrees, Image.Resampling(resample), fillcolor=_colour(picture, fill))


def _mapped(picture: Picture, data: tuple[float | int, ...], resample: int, fill: int) -> Picture:
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        data,
        Image.Resampling(resample),
        fillcolor=_colour(picture, fill),
    )


def _colour(picture: Picture, level: int) -> int | tuple[int, ...]:
    return level if picture.mode == "L" else (level,) * 3
