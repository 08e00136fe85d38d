"""A few numbers in place of calls, for what most runs want."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from checkpoints.preprocess import Preprocess
from train.augment.augmentation import Augmentation
from train.augment.checks import require
from train.augment.table import augmentation_of
from train.calls import Call
from zoo.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Augment:
    """What may happen to a training image, in short; with all defaults nothing does.

    Photographs want `crop` and `flip`; digits and other signs the affine four. All ranges are
    symmetric and uniform. It stands for `calls`, and a `Config` keeps these.
    """

    rotate: float = 0.0
    """Largest rotation in degrees, either way."""
    translate: float = 0.0
    """Largest shift along each axis, as a share of the side."""
    scale: float = 0.0
    """Largest relative change of size: 0.25 draws a factor between 1 / 1.25 and 1.25."""
    shear: float = 0.0
    """Largest horizontal shear in degrees, either way."""
    flip: bool = False
    """Mirror every other image, left to right."""
    crop: float = 1.0
    """Smallest share of the area that a random crop keeps; 1 is the centre crop of evaluation."""

    def __post_init__(self) -> None:
        for name, most in ("rotate", 180), ("translate", 1), ("scale", 100), ("shear", 89):
            require(name, getattr(self, name), 0, most)
        if not 0 < self.crop <= 1:
            raise UsageError(f"`crop` must be above 0 and at most 1, got {self.crop}")

    @property
    def calls(self) -> tuple[Call, ...]:
        """The augmentations that this is short for, by their names."""
        found = []
        if self.crop < 1:
            found.append(Call("random_resized_crop", {"scale": [self.crop, 1.0]}))
        if self.flip:
            found.append(Call("horizontal_flip"))
        if moved := {name: value for name in AFFINE if (value := getattr(self, name))}:
            found.append(Call("affine", moved))
        return tuple(found)

    def __call__(
        self, image: UInt8[np.ndarray, "h w c"], rng: np.random.Generator, preprocess: Preprocess
    ) -> UInt8[np.ndarray, "size size k"]:
        """Changes one image at random and brings it to the size that `preprocess` asks for.

        Equal generators give equal results. What comes in from outside the image is black.
        """
        return _made(self)(image, rng, preprocess)


Augmentations = tuple[Call, ...] | Augment  # of a config; a short form is taken for its calls
AFFINE = ("rotate", "translate", "scale", "shear")


def calls_of(augment: Augmentations) -> tuple[Call, ...]:
    """Augmentations by their names."""
    return augment.calls if isinstance(augment, Augment) else augment


def shortened(calls: Sequence[Call]) -> tuple[Augment, tuple[Call, ...]]:
    """The first of some calls in short, and the others as they are."""
    for count in (3, 2, 1):
        short = Augment(**_fields(calls[:count]))
        if short.calls == tuple(calls[:count]):
            return short, tuple(calls[count:])
    return Augment(), tuple(calls)


def _fields(calls: Sequence[Call]) -> dict[str, Any]:
    """Fields of `Augment` that calls give; what it has no field for is left out."""
    fields: dict[str, Any] = {}
    for call in calls:
        if call.name == "horizontal_flip":
            fields["flip"] = True
        elif call.name == "affine":
            fields |= {n: v for n, v in call.arguments.items() if n in AFFINE}
        elif call.name == "random_resized_crop":
            match call.arguments.get("scale"):
                case [float() | int() as least, 1 | 1.0]:
                    fields["crop"] = least
    return fields


@functools.lru_cache(maxsize=8)
def _made(augment: Augment) -> Augmentation:
    return augmentation_of(augment.calls)
