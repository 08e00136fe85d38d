"""All that happens to one training picture, from its file to the size that the network reads."""

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from checkpoints.preprocess import INTERPOLATIONS, Preprocess, to_channels
from train.augment.decoding import decoded, needed, upright_size
from train.augment.geometry import Box, Crop
from train.augment.operation import Operation, Picture, picture_of


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """A random change of an image that ends at the model's size: crop, then operations in order.

    Attributes:
        crop: draws the region that is seen; None is the centre crop of evaluation.
        operations: what happens to the picture at the size of the input.
        views: how many times in a batch an example is seen, each time changed anew.
        scaled: decode large JPEG files at no more pixels than are needed, see `decoding`.
    """

    crop: Crop | None = None
    operations: tuple[Operation, ...] = ()
    views: int = 1
    scaled: bool = False

    def __call__(
        self,
        image: UInt8[np.ndarray, "h w c"] | Image.Image,
        rng: np.random.Generator,
        preprocess: Preprocess,
    ) -> UInt8[np.ndarray, "size size k"]:
        """Changes one image at random; equal generators give equal results.

        Args:
            image: pixels, or a file that was opened and not yet decoded.
            rng: generator of all draws.
            preprocess: says size, channels and interpolation of the result.
        """
        picture = self._framed(image, rng, preprocess)
        for operation in self.operations:
            picture = operation.apply(picture, operation.draw(rng, picture.size))
        return np.ascontiguousarray(picture).reshape(preprocess.shape)

    def _framed(
        self, image: np.ndarray | Image.Image, rng: np.random.Generator, preprocess: Preprocess
    ) -> Picture:
        """The region that is seen, at the size that the network reads."""
        is_file = isinstance(image, Image.Image)
        size = upright_size(image) if is_file else (image.shape[1], image.shape[0])
        box, factor = self.crop(rng, size) if self.crop else None, 1
        if is_file:
            seen = (box[2] - box[0], box[3] - box[1]) if box else None
            image, factor = decoded(image, needed(size, preprocess, seen))
        if box is None:
            return picture_of(preprocess.resize(image))
        return resized_crop(to_channels(image, preprocess.channels), box, factor, preprocess)


def resized_crop(picture: Picture, box: Box, factor: int, preprocess: Preprocess) -> Picture:
    """Resizes a region to the square that `preprocess` asks for, antialiased.

    Args:
        picture: decoded.
        box: of the region, in pixels of the file.
        factor: how many of these there are to one of the picture's.
        preprocess: says size and interpolation.
    """
    size = (preprocess.image_size, preprocess.image_size)
    left, top = box[0] // factor, box[1] // factor
    right, bottom = -(-box[2] // factor), -(-box[3] // factor)
    region = (
        *(box[0] / factor - left, box[1] / factor - top),
        *(box[2] / factor - left, box[3] / factor - top),
    )
    part = picture.crop((left, top, right, bottom))  # pixels around it are not to be seen
    return part.resize(size, INTERPOLATIONS[preprocess.interpolation], box=region)
