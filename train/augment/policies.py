"""Policies, which change each picture a little, chosen at random: RandAugment and its kin.

Spaces, draws and pixels are those of torchvision's classes of these names, version 2, on Pillow's
pictures. timm's strings such as `rand-m9-mstd0.5-inc1` mean other ranges and draw magnitudes too.
"""

import numpy as np

from train.augment.checks import require, require_one_of
from train.augment.learned import LEARNED
from train.augment.operation import Operation, Size
from train.augment.spaces import Change, Range, Space, changing, ranges

BINS = 31

NARROW = ranges(
    slope=0.3,
    across=Range(0.0, 150 / 331, of="width"),
    down=Range(0.0, 150 / 331, of="height"),
    degrees=30.0,
    strength=0.9,
    bits=Range(8.0, 4.0, signed=False, whole=True),
)
WIDE = ranges(
    slope=0.99,
    across=Range(0.0, 32.0),
    down=Range(0.0, 32.0),
    degrees=135.0,
    strength=0.99,
    bits=Range(8.0, 2.0, signed=False, whole=True),
)


def randaugment(
    num_ops: int = 2,
    magnitude: int = 9,
    num_magnitude_bins: int = BINS,
    interpolation: str = "nearest",
    fill: int = 0,
) -> Operation:
    """Some of fourteen changes, each of the same magnitude.

    Cubuk et al. 2019, "RandAugment", https://arxiv.org/abs/1909.13719.

    Args:
        num_ops: changes of a picture; one may be drawn again.
        magnitude: bin of every magnitude, below `num_magnitude_bins`.
        num_magnitude_bins: how many magnitudes there are from none to the strongest.
        interpolation: of geometric changes: nearest, bilinear or bicubic.
        fill: level from 0 to 255 of what comes in from outside the picture.
    """
    require("num_ops", num_ops, 0)
    require("num_magnitude_bins", num_magnitude_bins, 2)
    require("magnitude", magnitude, 0, num_magnitude_bins - 1)
    space = Space(NARROW, num_magnitude_bins)

    def draw(rng: np.random.Generator, size: Size) -> list[Change]:
        return [space.drawn(rng, size, lambda _: magnitude) for _ in range(num_ops)]

    return Operation(draw, changing(interpolation, fill))


def trivialaugment(
    num_magnitude_bins: int = BINS, interpolation: str = "nearest", fill: int = 0
) -> Operation:
    """One of fourteen changes, of any magnitude: the wide space of TrivialAugment.

    Müller & Hutter 2021, https://arxiv.org/abs/2103.10158; torchvision's `TrivialAugmentWide`.

    Args:
        num_magnitude_bins: how many magnitudes there are from none to the strongest.
        interpolation: of geometric changes: nearest, bilinear or bicubic.
        fill: level from 0 to 255 of what comes in from outside the picture.
    """
    require("num_magnitude_bins", num_magnitude_bins, 2)
    space = Space(WIDE, num_magnitude_bins)

    def draw(rng: np.random.Generator, size: Size) -> list[Change]:
        return [space.drawn(rng, size, lambda rng: int(rng.integers(0, num_magnitude_bins)))]

    return Operation(draw, changing(interpolation, fill))


def autoaugment(
    policy: str = "imagenet", interpolation: str = "nearest", fill: int = 0
) -> Operation:
    """A pair of changes, each with its probability and magnitude, of a policy that was learned.

    Cubuk et al. 2018, "AutoAugment", https://arxiv.org/abs/1805.09501, tables 7 and 9.

    Args:
        policy: imagenet or cifar10.
        interpolation: of geometric changes: nearest, bilinear or bicubic.
        fill: level from 0 to 255 of what comes in from outside the picture.
    """
    require_one_of("policy", policy, tuple(LEARNED))
    pairs = LEARNED[policy]
    space = Space(NARROW | {"invert": None}, 10)

    def draw(rng: np.random.Generator, size: Size) -> list[Change]:
        pair = pairs[int(rng.integers(0, len(pairs)))]
        return [
            space.signed(rng, size, name, level)
            for name, probability, level in pair
            if rng.random() <= probability
        ]

    return Operation(draw, changing(interpolation, fill))
