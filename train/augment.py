"""Random changes of one training image, by NumPy and Pillow, as a pure function of a generator."""

import dataclasses
import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from checkpoints.preprocess import INTERPOLATIONS, Preprocess, to_channels
from zoo.errors import UsageError

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Augment:
    """What may happen to a training image; with all defaults nothing does.

    Photographs want `crop` and `flip`; digits and other signs the affine four. All ranges are
    symmetric and uniform.
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
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(f"`{name}` must be from 0 to {most}, got {getattr(self, name)}")
        if not 0 < self.crop <= 1:
            raise UsageError(f"`crop` must be above 0 and at most 1, got {self.crop}")

    def __call__(
        self, image: UInt8[np.ndarray, "h w c"], rng: np.random.Generator, preprocess: Preprocess
    ) -> UInt8[np.ndarray, "size size k"]:
        """Changes one image at random and brings it to the size that `preprocess` asks for.

        Equal generators give equal results. What comes in from outside the image is black.
        """
        box = self.crop_box(image.shape[1], image.shape[0], rng)
        pixels = preprocess.resize(image) if box is None else resized_crop(image, box, preprocess)
        if self.flip and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        if self.rotate or self.translate or self.scale or self.shear:
            pixels = warp(pixels, self.affine(rng), self.translate * rng.uniform(-1, 1, 2))
        return np.ascontiguousarray(pixels)

    def crop_box(self, width: int, height: int, rng: np.random.Generator) -> Box | None:
        """The region of a random resized crop, or None for the centre crop.

        Ten draws of area and aspect ratio (3/4 to 4/3, log-uniform), the first that fits: Szegedy
        et al. 2014, https://arxiv.org/abs/1409.4842, section 6.

        Args:
            width: of the image, in pixels.
            height: likewise.
            rng: generator of the draws.
        """
        for _ in range(10 if self.crop < 1 else 0):
            area = rng.uniform(self.crop, 1) * width * height
            ratio = math.exp(rng.uniform(-1, 1) * math.log(4 / 3))
            w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if w <= width and h <= height:
                left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
                return left, top, left + w, top + h
        return None

    def affine(self, rng: np.random.Generator) -> np.ndarray:
        """Draws the linear part of the map from output to input coordinates, (2, 2)."""
        turn, slant, size = rng.uniform(-1, 1, 3)
        angle = math.radians(turn * self.rotate)
        rotation = np.array(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        shear = np.array([[1, math.tan(math.radians(slant * self.shear))], [0, 1]])
        return rotation @ shear * (1 + self.scale) ** size


def resized_crop(
    image: UInt8[np.ndarray, "h w c"], box: Box, preprocess: Preprocess
) -> UInt8[np.ndarray, "size size k"]:
    """Resizes a region to the square that `preprocess` asks for, antialiased."""
    size, channels = preprocess.image_size, preprocess.channels
    picture = to_channels(image, channels)
    picture = picture.resize((size, size), INTERPOLATIONS[preprocess.interpolation], box=box)
    return np.asarray(picture).reshape(size, size, channels)


def warp(
    pixels: UInt8[np.ndarray, "h w c"], linear: np.ndarray, shift: np.ndarray
) -> UInt8[np.ndarray, "h w c"]:
    """Applies an affine map about the centre, bilinearly; outside is black.

    Args:
        pixels: the image.
        linear: (2, 2), from output to input coordinates (x, y).
        shift: (2,), of the input region, as shares of width and height.
    """
    height, width, _ = pixels.shape
    centre = np.array([width / 2, height / 2])
    offset = centre - linear @ centre + shift * (width, height)
    data = (*linear[0], offset[0], *linear[1], offset[1])
    picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    warped = picture.transform(
        (width, height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
    )
    return np.asarray(warped).reshape(pixels.shape)
