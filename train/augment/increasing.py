"""RandAugment as timm has it: each change is made or not, and is stronger the higher its magnitude.

timm's `rand-m7-mstd0.5-inc1`, with which DeiT, TNT, SReT and "ResNet strikes back" were trained:
fifteen changes that all grow with the magnitude, which is drawn anew for each.
"""

from collections.abc import Callable

import numpy as np

from train.augment.checks import require, require_one_of
from train.augment.operation import Operation, Size
from train.augment.spaces import Change, changing

MOST = 10.0  # the magnitude with which all changes are strongest
SHEAR, SHIFT, TURN, STRENGTH = 0.3, 0.45, 30.0, 0.9  # slope, share of the side, degrees, factor
BITS, ADDED = 4, 110  # bits that are taken away, levels that are added to dark pixels

# Of a share of the strongest and of the size of the picture, its sign to be drawn.
SIGNED: dict[str, Callable[[float, Size], float]] = {
    "rotate": lambda share, _: TURN * share,
    **dict.fromkeys(
        ("color", "contrast", "brightness", "sharpness"), lambda share, _: STRENGTH * share
    ),
    "shear_x": lambda share, _: SHEAR * share,
    "shear_y": lambda share, _: SHEAR * share,
    "translate_x": lambda share, size: SHIFT * share * size[0],
    "translate_y": lambda share, size: SHIFT * share * size[1],
}
UNSIGNED: dict[str, Callable[[float, Size], float]] = {
    "posterize": lambda share, _: float(BITS - int(BITS * share)),
    "solarize": lambda share, _: (256 - min(int(256 * share), 256)) / 255,
    "solarize_add": lambda share, _: float(min(int(ADDED * share), 128)),
    **dict.fromkeys(("autocontrast", "equalize", "invert"), lambda share, _: 0.0),
}


def randaugment_increasing(
    num_ops: int = 2,
    magnitude: float = 9.0,
    spread: float = 0.5,
    probability: float = 0.5,
    interpolation: str = "bilinear",
    fill: int = 124,
) -> Operation:
    """Some of fifteen changes, each with a probability and a magnitude of its own.

    Cubuk et al. 2019, https://arxiv.org/abs/1909.13719, in the form of timm, which draws bilinear
    or bicubic interpolation too and fills with the mean of ImageNet's colours.

    Args:
        num_ops: changes that are drawn; one may be drawn again.
        magnitude: mean of the magnitudes, from 0 to 10.
        spread: their standard deviation; what is drawn outside of 0 to 10 is brought to the edge.
        probability: with which each of the changes drawn is made.
        interpolation: of geometric changes: nearest, bilinear or bicubic.
        fill: level from 0 to 255 of what comes in from outside the picture.
    """
    require("num_ops", num_ops, 0)
    require("magnitude", magnitude, 0, MOST)
    require("spread", spread, 0)
    require("probability", probability, 0, 1)
    require_one_of("interpolation", interpolation, ("nearest", "bilinear", "bicubic"))

    def draw(rng: np.random.Generator, size: Size) -> list[Change]:
        drawn = (_drawn(rng, size, magnitude, spread) for _ in range(num_ops))
        return [change for change in drawn if rng.random() < probability]

    return Operation(draw, changing(interpolation, fill))


def _drawn(rng: np.random.Generator, size: Size, magnitude: float, spread: float) -> Change:
    names = [*SIGNED, *UNSIGNED]
    name = names[int(rng.integers(0, len(names)))]
    share = min(max(rng.normal(magnitude, spread), 0.0), MOST) / MOST
    if name in UNSIGNED:
        return name, UNSIGNED[name](share, size)
    return name, SIGNED[name](share, size) * (1 if rng.random() < 0.5 else -1)
