"""The changes that policies choose from, and how strong each may be."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import ImageOps

from checkpoints.preprocess import INTERPOLATIONS
from train.augment import colour, geometry
from train.augment.checks import require, require_one_of
from train.augment.operation import Picture, Size

Change = tuple[str, float]  # a name of `GEOMETRIC` or `COLOURED`, and a magnitude

GEOMETRIC: dict[str, Callable[..., Picture]] = {
    "shear_x": geometry.shear_x,
    "shear_y": geometry.shear_y,
    "translate_x": geometry.translate_x,
    "translate_y": geometry.translate_y,
    "rotate": geometry.rotate,
}
# Magnitudes of the first four say how far the factor is from one, that of solarize is a share.
COLOURED: dict[str, Callable[[Picture, float], Picture]] = {
    "brightness": lambda picture, more: colour.brightness(picture, 1 + more),
    "color": lambda picture, more: colour.saturation(picture, 1 + more),
    "contrast": lambda picture, more: colour.contrast(picture, 1 + more),
    "sharpness": lambda picture, more: colour.sharpness(picture, 1 + more),
    "posterize": colour.posterize,
    "solarize": lambda picture, share: colour.solarize(picture, 255 * share),
    "solarize_add": colour.solarize_add,
    "identity": lambda picture, _: picture,
    "autocontrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _: ImageOps.equalize(picture),
    "invert": lambda picture, _: ImageOps.invert(picture),
}


class Range(NamedTuple):
    """Magnitudes of a change, evenly spaced between two.

    Attributes:
        first: of bin 0.
        last: of the last bin.
        signed: half of what is drawn is negative.
        of: "width" or "height", of which magnitudes are shares.
        whole: rounded, halves to even numbers.
    """

    first: float
    last: float
    signed: bool = True
    of: str = ""
    whole: bool = False

    def magnitude(self, k: int, bins: int, size: Size) -> float:
        """The k-th of so many magnitudes for a picture."""
        side = {"width": size[0], "height": size[1]}.get(self.of, 1)
        value = spaced(self.first * side, self.last * side, k, bins)
        return float(round(value)) if self.whole else value


class Space(NamedTuple):
    """Changes to choose from.

    Attributes:
        ranges: of their magnitudes; None for a change that knows none.
        bins: how many magnitudes each range has.
    """

    ranges: Mapping[str, Range | None]
    bins: int

    def drawn(
        self, rng: np.random.Generator, size: Size, pick: Callable[[np.random.Generator], int]
    ) -> Change:
        """A random change.

        Args:
            rng: generator of the draws: the change, its magnitude, its sign.
            size: of the picture.
            pick: draws the bin of the magnitude.
        """
        name = list(self.ranges)[int(rng.integers(0, len(self.ranges)))]
        if self.ranges[name] is None:
            return name, 0.0
        return self.signed(rng, size, name, pick(rng))

    def signed(self, rng: np.random.Generator, size: Size, name: str, k: int) -> Change:
        """The change of a name at bin k, with a random sign if it has one."""
        found = self.ranges[name]
        if found is None:
            return name, 0.0
        magnitude = found.magnitude(k, self.bins, size)
        return name, -magnitude if found.signed and rng.random() <= 0.5 else magnitude


def ranges(
    *, slope: float, across: Range, down: Range, degrees: float, strength: float, bits: Range
) -> dict[str, Range | None]:
    """The fourteen changes of RandAugment.

    Args:
        slope: largest of shears.
        across: shifts in pixels, to the right.
        down: shifts in pixels, downwards.
        degrees: largest rotation.
        strength: largest change of the factors of brightness, colour, contrast and sharpness.
        bits: kept of each level.
    """
    return {
        "identity": None,
        "shear_x": Range(0.0, slope),
        "shear_y": Range(0.0, slope),
        "translate_x": across,
        "translate_y": down,
        "rotate": Range(0.0, degrees),
        **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), Range(0.0, strength)),
        "posterize": bits,
        "solarize": Range(1.0, 0.0, signed=False),
        "autocontrast": None,
        "equalize": None,
    }


def spaced(first: float, last: float, k: int, bins: int) -> float:
    """The k-th of evenly spaced numbers, counted from the nearer end, as PyTorch rounds them.

    Pixels go by them: a level may lie just below a threshold or just above.
    """
    start, end = np.float32(first), np.float32(last)
    step = float((end - start) / np.float32(bins - 1))
    near = float(start) + step * k if k < bins // 2 else float(end) - step * (bins - 1 - k)
    return float(np.float32(near))


def changing(interpolation: str, fill: int) -> Callable[[Picture, Sequence[Change]], Picture]:
    """A function that makes changes, one after another.

    Args:
        interpolation: of geometric changes: nearest, bilinear or bicubic.
        fill: level from 0 to 255 of what comes in from outside the picture.
    """
    require_one_of("interpolation", interpolation, ("nearest", "bilinear", "bicubic"))
    require("fill", fill, 0, 255)
    outside = {"resample": INTERPOLATIONS[interpolation], "fill": fill}
    known = {n: partial(change, **outside) for n, change in GEOMETRIC.items()} | COLOURED

    def changed(picture: Picture, changes: Sequence[Change]) -> Picture:
        for name, magnitude in changes:
            picture = known[name](picture, magnitude)
        return picture

    return changed
