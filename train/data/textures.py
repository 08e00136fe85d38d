"""`zoo_textures`: which photograph is this patch of? Textures in the package scikit-image.

A patch is a grey image of 64x64 pixels, cut from one of 13 photographs: turned by any angle, scaled
by 0.7 to 1.4 and lit at random, so that grey levels alone do not tell the class. What is empty, as
the sky is, is drawn again. A photograph is cut into quarters: patches for training lie wholly in
the upper left or the lower right one, those for test in one of the others. No pixel is in both.
"""

import math
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float64, UInt8
from PIL import Image

from checkpoints.origins import wheel
from checkpoints.preprocess import open_image, to_channels
from train.data.digits import encode_png

PACKAGE = "scikit-image"
PHOTOGRAPHS = {
    "astronaut": "png",
    "brick": "png",
    "camera": "png",
    "chelsea": "png",
    "coffee": "png",
    "coins": "png",
    "grass": "png",
    "gravel": "png",
    "hubble_deep_field": "jpg",
    "ihc": "png",
    "motorcycle_left": "png",
    "retina": "jpg",
    "rocket": "jpg",
}
SIDE = 64
PATCHES = {"train": 100, "test": 50}  # of each photograph
SCALES = (0.7, 1.4)  # pixels of the photograph for one of the patch
CONTRAST, DRAWS = 10.0, 20  # standard deviation of grey levels, and how often it is looked for
GAINS, OFFSETS = (0.6, 1.4), (-40.0, 40.0)  # of grey levels around the middle


def photograph(name: str) -> Image.Image:
    """A grey photograph.

    Raises:
        UsageError: the package is not installed.
    """
    file = f"skimage/data/{name}.{PHOTOGRAPHS[name]}"
    path = wheel.locate(PACKAGE, file, "the photographs of 'zoo_textures' lie")
    return to_channels(open_image(path), 1)


def quarters(picture: Image.Image, split: str) -> tuple[Image.Image, Image.Image]:
    """The two parts of a photograph that a split's patches come from."""
    (width, height), (x, y) = picture.size, (picture.width // 2, picture.height // 2)
    upper_left, lower_right = (0, 0, x, y), (x, y, width, height)
    upper_right, lower_left = (x, 0, width, y), (0, y, x, height)
    boxes = (upper_left, lower_right) if split == "train" else (upper_right, lower_left)
    return picture.crop(boxes[0]), picture.crop(boxes[1])


def patch(picture: Image.Image, rng: np.random.Generator) -> UInt8[np.ndarray, "64 64 1"]:
    """A square out of a picture, turned, scaled, placed and lit at random."""
    found = cut(picture, rng)
    for _ in range(DRAWS):
        if found.std() >= CONTRAST:
            break
        found = cut(picture, rng)
    lit = (found - 127.5) * rng.uniform(*GAINS) + 127.5 + rng.uniform(*OFFSETS)
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)[..., None]


def cut(picture: Image.Image, rng: np.random.Generator) -> Float64[np.ndarray, "64 64"]:
    """A square out of a picture at any place and angle that it fits, at any of the scales."""
    scale, angle = rng.uniform(*SCALES), rng.uniform(0, 2 * math.pi)
    reach = scale * SIDE / math.sqrt(2) + 2  # of a corner from the centre; 2 for interpolation
    x, y = (rng.uniform(reach, length - reach) for length in picture.size)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    half = SIDE / 2
    rows = (cos, sin, x - half * (cos + sin), -sin, cos, y - half * (cos - sin))
    size, how = (SIDE, SIDE), Image.Resampling.BICUBIC
    return np.asarray(picture.transform(size, Image.Transform.AFFINE, rows, how), np.float64)


class ZooTextures(tfds.core.GeneratorBasedBuilder):
    """Patches of photographs: 64x64 grey images of 13 classes, 1,300 / 650."""

    name = "zoo_textures"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(SIDE, SIDE, 1), dtype=np.uint8, encoding_format="png")
        label = tfds.features.ClassLabel(names=list(PHOTOGRAPHS))
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict({"image": image, "label": label}),
            supervised_keys=("image", "label"),
            homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        pictures = [photograph(name) for name in PHOTOGRAPHS]
        return {
            split: self._generate_examples(seed, count, [quarters(p, split) for p in pictures])
            for seed, (split, count) in enumerate(PATCHES.items())
        }

    def _generate_examples(
        self, seed: int, count: int, pictures: list[tuple[Image.Image, Image.Image]]
    ) -> Iterator[tuple[int, dict]]:
        """Patch i is of class i modulo their number, and a function of the split and i alone."""
        for i in range(count * len(pictures)):
            label = i % len(pictures)
            rng = np.random.default_rng((seed, i))
            image = patch(pictures[label][rng.integers(2)], rng)
            yield i, {"image": encode_png(image), "label": label}
