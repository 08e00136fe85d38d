"""Image to array, exactly as the weights were trained to see it. NumPy and Pillow only.

Every way of storing pixels has one meaning here:

* alpha (RGBA, LA, palette with transparency): composited onto white;
* grey to colour: the channel is repeated; colour to grey: ITU-R 601 luma, as in Pillow;
* palette, CMYK, YCbCr and the like: Pillow's conversion to RGB;
* 16-bit grey: divided by 257, so that 65,535 becomes 255;
* floating-point pixels and CIELAB: refused, their range is not known;
* several frames or pages: the first one.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from checkpoints import paths
from checkpoints.pictures import opened, upright
from zoo.errors import UsageError, closest, shown
from zoo.fields import annotations, frozen, misfit

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
CROP_MODES = ("center", "squash")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_LONGEST = 32  # times the short side, up to which a picture is resized whole
_MOST_CHANNELS = 4096
_LARGEST = 16_384  # pixels, of a side
_LONGEST_SERIES = 10**8
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Preprocess:
    """Resize the shortest side, crop the centre, normalise: timm's evaluation transform.

    `preprocess(image)` is `preprocess.normalize(preprocess.resize(image))`.

    Attributes:
        image_size: side of the square result, in pixels.
        crop_pct: `image_size` over the length of the shortest side before the crop, in (0, 1].
        interpolation: one of `INTERPOLATIONS`; downsampling is antialiased.
        mean: per channel, of pixels in [0, 1]; one value means grey input, three mean RGB. With
            any other number `normalize` works, and pictures are refused.
        std: per channel, of pixels in [0, 1].
        crop_mode: "center" keeps the shape of things and loses the ends of long images; "squash"
            makes every image square before the crop.

    Reference: `timm.data.create_transform(is_training=False)`, of the same crop mode.
    """

    image_size: int = 224
    crop_pct: float = 0.875
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop_mode: str = "center"

    def __post_init__(self):
        self._check_types()
        if not 1 <= self.image_size <= _LARGEST:
            raise UsageError(
                f"`image_size` must be from 1 to {_LARGEST:,} pixels, got {shown(self.image_size)}."
            )
        if not 0 < self.crop_pct <= 1 or self.image_size / self.crop_pct > _LARGEST:
            raise UsageError(
                "`crop_pct` must be above 0 and at most 1, and the image that is cropped at most "
                f"{_LARGEST:,} pixels, got {self.crop_pct}."
            )
        for name, known in (("interpolation", INTERPOLATIONS), ("crop_mode", CROP_MODES)):
            if (value := getattr(self, name)) not in known:
                raise UsageError(
                    f"`{name}` must be one of {', '.join(known)}, got {shown(value)}"
                    f"{closest(value, known)}"
                )
        finite = all(map(math.isfinite, (*self.mean, *self.std)))
        if not self.mean or len(self.mean) != len(self.std) or not finite or min(self.std) <= 0:
            raise UsageError(
                "`mean` and `std` must have one value for each channel and `std` must be positive, "
                f"got {shown(self.mean)} and {shown(self.std)}."
            )
        if self.channels > _MOST_CHANNELS:
            raise UsageError(f"`mean` has {self.channels:,} values; at most {_MOST_CHANNELS:,}.")

    def _check_types(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        for name, kind in annotations(type(self)).items():
            if wrong := misfit(value := getattr(self, name), kind):
                raise UsageError(f"`{name}` must be {wrong}, got {shown(value)}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        """The inverse of `dataclasses.asdict`, of sequences too; accepts JSON's lists.

        Raises:
            UsageError: a field that there is not, or a value that it cannot have.
        """
        kind = SequencePreprocess if "length" in values else Preprocess
        if unknown := [name for name in values if name not in annotations(kind)]:
            raise UsageError(f"a preprocessing has no field {shown(unknown[0])}")
        return kind(**{name: frozen(value) for name, value in values.items()})

    @property
    def channels(self) -> int:
        """Channels of the result."""
        return len(self.mean)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result: (image_size, image_size, channels)."""
        return self.image_size, self.image_size, self.channels

    def with_channels(self, channels: int) -> "Preprocess":
        """The same for another number of channels: the average for one, else values in turn."""
        if not 1 <= channels <= _MOST_CHANNELS:
            raise UsageError(
                f"`channels` must be from 1 to {_MOST_CHANNELS:,} for an image, got {channels}."
            )
        if channels == 1:
            average = (sum(self.mean) / self.channels,), (sum(self.std) / self.channels,)
            return replace(self, mean=average[0], std=average[1])
        turns = [i % self.channels for i in range(channels)]
        return replace(
            self, mean=tuple(self.mean[i] for i in turns), std=tuple(self.std[i] for i in turns)
        )

    def __call__(self, image: Image.Image | UInt8[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        """Prepares one image of any size; returns float32 (image_size, image_size, channels)."""
        return self.normalize(self.resize(image))

    def resize(self, image: Image.Image | UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "h w c"]:
        """Resizes and crops one image; returns uint8 (image_size, image_size, channels).

        Args:
            image: a Pillow image, or uint8 (h, w) or (h, w, c) with 1, 2, 3 or 4 channels.
        """
        return self.crop(self.whole(image))

    def whole(self, image: Image.Image | UInt8[np.ndarray, "..."]) -> Image.Image:
        """Resizes one image to what `crop` cuts the input from."""
        picture = to_channels(image, self.channels)
        shortest = math.floor(self.image_size / self.crop_pct)
        if self.crop_mode == "squash":
            width = height = shortest
        else:
            picture = _middle(picture)
            width, height = _scaled(picture.size, shortest)
        if (width, height) == picture.size:
            return picture
        return picture.resize((width, height), INTERPOLATIONS[self.interpolation])

    def crop(
        self, picture: Image.Image, place: tuple[float, float] = (0.5, 0.5)
    ) -> UInt8[np.ndarray, "h w c"]:
        """Cuts the input from a resized picture.

        Args:
            picture: what `whole` returns.
            place: of the input in it, from 0 (left, top) to 1 (right, bottom).
        """
        (width, height), size = picture.size, self.image_size
        left, top = round((width - size) * place[0]), round((height - size) * place[1])
        pixels = np.asarray(picture.crop((left, top, left + size, top + size)))
        return pixels.reshape(size, size, self.channels)

    def normalize(self, image: UInt8[np.ndarray, "*b h w c"]) -> Float32[np.ndarray, "*b h w c"]:
        """Maps pixels to (pixel / 255 - mean) / std; a batch works as well as one image."""
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return (image.astype(np.float32) / np.float32(255) - mean) / std


@dataclass(frozen=True)
class SequencePreprocess(Preprocess):
    """The same for sequences of numbers, (length, channels): nothing of a picture is asked for.

    Attributes:
        length: steps of the result; longer sequences are cut, shorter ones end with means.
        mean: per channel, of the numbers as they come.
        std: per channel, of the numbers as they come.
    """

    length: int = 1

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.length <= _LONGEST_SERIES:
            raise UsageError(
                f"`length` must be from 1 to {_LONGEST_SERIES:,} steps, got {shown(self.length)}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result: (length, channels)."""
        return self.length, self.channels

    def __call__(self, image: Image.Image | np.ndarray) -> Float32[np.ndarray, "l c"]:
        """Prepares one sequence; returns float32 (length, channels)."""
        return self.normalize(self.resize(image))

    def resize(self, image: Image.Image | np.ndarray) -> Float32[np.ndarray, "l c"]:
        """Brings one sequence, float (any length, channels), to the length."""
        image = np.asarray(image)
        if image.ndim != 2 or image.shape[1] != self.channels:
            raise UsageError(
                f"A sequence must have the shape (length, {self.channels}), got {image.shape}."
            )
        whole = np.tile(np.asarray(self.mean, np.float32), (self.length, 1))
        whole[: len(image)] = image[: self.length]
        return whole

    def normalize(self, image: Float[np.ndarray, "*b l c"]) -> Float32[np.ndarray, "*b l c"]:
        """Maps numbers to (number - mean) / std; a batch works as well as one sequence."""
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return (image.astype(np.float32) - mean) / std


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """Reads an image file whole, turned upright as its EXIF orientation says.

    Raises:
        UsageError: no such file, not an image, or an image that is damaged or cut short.
    """
    path = paths.local(path)
    if not path.is_file():
        raise UsageError(f"There is no image file {str(path)!r}.")
    try:
        with opened(path) as image:
            return upright(image)
    except Exception as error:  # Pillow's decoders raise whatever their parsers meet
        raise UsageError(
            f"{str(path)!r} cannot be read as an image: it is damaged, cut short, too large or of "
            f"a format that is not taken ({error})."
        ) from error


def to_channels(image: Image.Image | UInt8[np.ndarray, "..."], channels: int = 3) -> Image.Image:
    """Converts any image to grey (`channels=1`) or RGB (`channels=3`), as the module says.

    Raises:
        UsageError: an array that is not an image, pixels of unknown range, or other channels.
    """
    if channels not in _MODES:
        raise UsageError(
            f"Pictures have 1 or 3 channels and the weights want {channels}; cut arrays to size "
            "yourself and give them to `preprocess.normalize`."
        )
    picture = _picture(image) if isinstance(image, np.ndarray) else image
    if picture.mode in ("F", "LAB"):
        raise UsageError(f"Pixels of mode {picture.mode!r} are not read; convert the image to RGB.")
    if picture.mode.startswith("I"):
        wide = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
        picture = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("LA") if picture.mode == "La" else picture
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert(_MODES[channels])


def _picture(pixels: UInt8[np.ndarray, "..."]) -> Image.Image:
    grey = pixels.ndim == 3 and pixels.shape[-1] == 1
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in (1, 2, 3, 4))
    if pixels.dtype != np.uint8 or not is_image or not pixels.size:
        raise UsageError(
            "An image must be uint8 of the shape (h, w) or (h, w, c) with 1 to 4 channels, "
            f"got {pixels.dtype} of the shape {pixels.shape}."
        )
    return Image.fromarray(pixels[..., 0] if grey else pixels)


def _middle(picture: Image.Image) -> Image.Image:
    """The middle of a picture that is far longer than wide, of which only the middle is seen.

    Resizing the whole would take memory without bound.
    """
    width, height = picture.size
    most = _LONGEST * min(width, height)
    left, top = max(0, (width - most) // 2), max(0, (height - most) // 2)
    return picture.crop((left, top, width - left, height - top)) if left or top else picture


def _scaled(size: Sequence[int], shortest: int) -> tuple[int, int]:
    width, height = size
    if width <= height:
        return shortest, int(shortest * height / width)
    return int(shortest * width / height), shortest
