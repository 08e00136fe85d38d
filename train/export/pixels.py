"""`checkpoints.Preprocess` as a part of a program: uint8 pixels in, the network's input out.

Pillow resizes by whole numbers, one axis after the other, each pixel a sum with weights that are
multiples of 2⁻²², rounded to 8 bits. That is arithmetic in int32, so the program gives the same
bits. What it cannot hold is what is no array: files, EXIF orientation, modes other than 8 bits of
grey or RGB, transparency. And a program has one size of images; a batch is of any number.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int32, UInt8
from PIL import Image

from checkpoints.preprocess import INTERPOLATIONS, Preprocess, SequencePreprocess
from zoo.errors import UsageError

BITS = 22  # of the fraction of Pillow's weights
LONGEST = 32  # times the short side, beyond which `Preprocess` takes the middle first


def _bicubic(x: float) -> float:
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    return near if x < 1 else (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _hamming(x: float) -> float:
    wave = math.sin(math.pi * x) / (math.pi * x) if x else 1.0
    return wave * (0.54 + 0.46 * math.cos(math.pi * x)) if x < 1 else 0.0


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


# For each interpolation how far it reaches, in pixels, and the weight at a distance.
FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "box": (0.5, lambda x: float(-0.5 < x <= 0.5)),
    "bilinear": (1.0, lambda x: max(1.0 - abs(x), 0.0)),
    "hamming": (1.0, lambda x: _hamming(abs(x))),
    "bicubic": (2.0, lambda x: _bicubic(abs(x))),
    "lanczos": (3.0, lambda x: _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0),
}


class Taps(NamedTuple):
    """Where each pixel of a resized side comes from.

    Attributes:
        places: of pixels in the side before, for each one after.
        weights: theirs, in units of 2⁻²².
    """

    places: Int32[np.ndarray, "after k"]
    weights: Int32[np.ndarray, "after k"]


def taps(before: int, after: int, interpolation: str) -> Taps:
    """Those of Pillow (`Resample.c`); nearest is one pixel with all the weight."""
    if interpolation == "nearest":
        step = before / after  # added up, with the rounding that this has
        places = np.cumsum([0.5 * step, *[step] * (after - 1)]).astype(np.int32)[:, None]
        return Taps(places, np.full_like(places, 1 << BITS))
    reach, weight = FILTERS[interpolation]
    scale = max(before / after, 1.0)
    count = math.ceil(reach * scale) * 2 + 1
    places, weights = np.zeros((after, count), np.int32), np.zeros((after, count))
    for i in range(after):
        centre = (i + 0.5) * before / after
        first = max(int(centre - reach * scale + 0.5), 0)
        last = min(int(centre + reach * scale + 0.5), before)
        row = [weight((x - centre + 0.5) * (1.0 / scale)) for x in range(first, last)]
        places[i, : len(row)] = range(first, last)
        weights[i, : len(row)] = np.array(row) / sum(row)
    fixed = np.trunc(weights * (1 << BITS) + np.where(weights < 0, -0.5, 0.5))
    return Taps(places, fixed.astype(np.int32))


def resized(pixels: Any, passes: Sequence[tuple[int, Taps]], xp: Any = jnp) -> Any:
    """Pixels (b, h, w, c) in int32, resized along one axis after another, rounded to 8 bits.

    Args:
        pixels: an array of `xp`.
        passes: the axes, each with what it is resized by.
        xp: jax.numpy or NumPy.
    """
    for axis, by in passes:
        shape = [1] * pixels.ndim
        shape[axis] = len(by.places)
        total = xp.full([1] * pixels.ndim, 1 << (BITS - 1), xp.int32)
        for places, weights in zip(by.places.T, by.weights.T, strict=True):
            taken = xp.take(pixels, places, axis=axis, mode="clip")
            total = total + taken * weights.reshape(shape)
        pixels = xp.clip(total >> BITS, 0, 255)
    return pixels


def passes_of(
    preprocess: Preprocess, size: tuple[int, int], to: tuple[int, int]
) -> list[tuple[int, Taps]]:
    """The axes that are resized, in the order in which the Pillow that is installed does it.

    Versions differ in which axis comes first, and so in how often a pixel is rounded where.
    """
    how = preprocess.interpolation
    sides = [(axis, size[axis - 1], to[axis - 1]) for axis in (2, 1)]
    passes = [(axis, taps(before, after, how)) for axis, before, after in sides if before != after]
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((to[1], to[0]), INTERPOLATIONS[how]))
    given = pixels[None, ..., None].astype(np.int32)
    orders = (passes, passes[::-1])
    return next(o for o in orders if (resized(given, o, np)[0, ..., 0] == expected).all())


def raw_shape(preprocess: Preprocess, size: tuple[int, int] | None) -> tuple[int, ...]:
    """Shape of one raw example: images of `size`, by default such as need no resizing."""
    if isinstance(preprocess, SequencePreprocess):
        if size is not None:
            raise UsageError("`input_size` is for images; these weights read sequences")
        return preprocess.shape
    side = math.floor(preprocess.image_size / preprocess.crop_pct)
    height, width = size or (side, side)
    if min(height, width) < 1 or max(height, width) > LONGEST * min(height, width):
        raise UsageError(
            f"`input_size` must be height and width, positive and one at most {LONGEST} times the "
            f"other, got {height} {width}"
        )
    return height, width, preprocess.channels


def preparing(preprocess: Preprocess, size: tuple[int, int] | None) -> Callable[[Array], Array]:
    """The transform of a batch of raw examples of one size.

    Returns:
        uint8 (b, height, width, channels) -> float32 (b, image_size, image_size, channels), equal
        to `preprocess` of each image; of sequences float32 (b, length, channels) -> the same.

    Raises:
        UsageError: a size that images cannot have, or channels that pictures do not.
    """
    shape = raw_shape(preprocess, size)
    mean, std = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))
    if isinstance(preprocess, SequencePreprocess):
        return lambda x: (x - mean[None, None]) / std[None, None]
    height, width, side = *shape[:2], preprocess.image_size
    wide, high = preprocess.whole(_blank(shape)).size
    left, top = round((wide - side) * 0.5), round((high - side) * 0.5)

    passes = passes_of(preprocess, (height, width), (high, wide))

    def prepare(images: UInt8[Array, "b h w c"]) -> Float32[Array, "b s s c"]:
        x = resized(images.astype(jnp.int32), passes)
        x = x[:, top : top + side, left : left + side].astype(jnp.float32)
        return (x / np.float32(255) - mean[None, None, None]) / std[None, None, None]

    return prepare


def _blank(shape: tuple[int, ...]) -> Image.Image:
    mode = {1: "L", 3: "RGB"}.get(shape[2])
    if mode is None:
        raise UsageError(
            f"pictures have 1 or 3 channels and these weights read {shape[2]}; leave `preprocess` "
            "out and normalise the arrays yourself"
        )
    return Image.new(mode, (shape[1], shape[0]))
