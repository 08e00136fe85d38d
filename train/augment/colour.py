"""What values pixels have: changes by one number, and random jitter of them."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from train.augment.checks import require
from train.augment.operation import Operation, Picture, Size


def brightness(picture: Picture, factor: float) -> Picture:
    """Mixes with black: 0 is black, 1 the picture, more is lighter."""
    return ImageEnhance.Brightness(picture).enhance(factor)


def contrast(picture: Picture, factor: float) -> Picture:
    """Mixes with the mean level of the picture in grey: 0 is that, 1 the picture."""
    return ImageEnhance.Contrast(picture).enhance(factor)


def saturation(picture: Picture, factor: float) -> Picture:
    """Mixes with the picture in grey: 0 is that, 1 the picture."""
    return ImageEnhance.Color(picture).enhance(factor)


def sharpness(picture: Picture, factor: float) -> Picture:
    """Mixes with a smoothed picture: 0 is that, 1 the picture."""
    return ImageEnhance.Sharpness(picture).enhance(factor)


def hue(picture: Picture, share: float) -> Picture:
    """Turns the hues by a share of their circle; grey pictures have none."""
    if picture.mode == "L":
        return picture
    hues, *others = picture.convert("HSV").split()
    turned = np.asarray(hues) + np.int32(share * 255).astype(np.uint8)  # wraps, as a circle does
    return Image.merge("HSV", (Image.fromarray(turned), *others)).convert(picture.mode)


def posterize(picture: Picture, bits: float) -> Picture:
    """Keeps the highest bits of each level, from 0 to 8; without any it is black."""
    if int(bits) == 0:
        return Image.new(picture.mode, picture.size)
    return ImageOps.posterize(picture, int(bits))


def solarize(picture: Picture, threshold: float) -> Picture:
    """Inverts the levels from `threshold` up."""
    return ImageOps.solarize(picture, threshold)  # type: ignore[arg-type]  # floats compare too


def solarize_add(picture: Picture, more: float) -> Picture:
    """Adds to the levels below 128, up to 255."""
    table = [min(255, level + int(more)) if level < 128 else level for level in range(256)]
    return picture.point(table * len(picture.getbands()))


def color_jitter(
    brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.0
) -> Operation:
    """Brightness, contrast, saturation and hue changed at random, in random order.

    The first three by factors from 1 - x (at least 0) to 1 + x, the hue by a share of its circle
    from -x to x. The same draws as torchvision's `ColorJitter`.

    Args:
        brightness: x of the brightness, 0 leaves it.
        contrast: x of the contrast.
        saturation: x of the saturation.
        hue: x of the hue, at most 0.5.
    """
    widths = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    for name, width in widths.items():
        require(name, width, 0, 0.5 if name == "hue" else 100)

    def draw(rng: np.random.Generator, size: Size) -> list[tuple[str, float]]:
        order = rng.permutation(len(widths))
        drawn = {n: rng.uniform(*_bounds(n, width)) for n, width in widths.items() if width}
        return [(name, drawn[name]) for i in order if (name := list(widths)[i]) in drawn]

    return Operation(draw, _jittered)


def _bounds(name: str, width: float) -> tuple[float, float]:
    return (-width, width) if name == "hue" else (max(0.0, 1 - width), 1 + width)


def _jittered(picture: Picture, changes: list[tuple[str, float]]) -> Picture:
    for name, value in changes:
        picture = _JITTERED[name](picture, value)
    return picture


_JITTERED: dict[str, Callable[[Picture, float], Picture]] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}
