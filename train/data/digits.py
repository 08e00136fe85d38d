"""`zoo_digits`: scikit-learn's handwritten digits as a tensorflow-datasets builder.

1,797 digits written by 43 people, of the UCI set "Optical Recognition of Handwritten Digits"
(Alpaydin & Kaynak, 1998, https://doi.org/10.24432/C50P49). NIST's 32x32 bitmaps were counted in
blocks of 4x4, which gives 8x8 images of 17 levels; here level v becomes `round(v * 255 / 16)`.

The split is fixed: scikit-learn's `train_test_split`, stratified by label, with `random_state=0`,
cuts 20 % for test, and then, of the remainder, 25 % for validation: 1,077 / 360 / 360.
"""

import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8
from PIL import Image


def load() -> tuple[UInt8[np.ndarray, "1797 8 8 1"], Int[np.ndarray, "1797"]]:
    """All images and labels, in scikit-learn's order."""
    from sklearn.datasets import load_digits

    levels, labels = map(np.asarray, load_digits(return_X_y=True))
    return np.round(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1), labels


def split_indices(labels: Int[np.ndarray, " n"]) -> dict[str, Int[np.ndarray, " m"]]:
    """Indices of the examples of each split, sorted."""
    from sklearn.model_selection import train_test_split

    def cut(indices: np.ndarray, share: float) -> Iterator[np.ndarray]:
        strata = labels[indices]
        parts = train_test_split(indices, test_size=share, stratify=strata, random_state=0)
        return map(np.asarray, parts)

    rest, test = cut(np.arange(len(labels)), 0.2)
    train, validation = cut(rest, 0.25)
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}


def encode_png(image: UInt8[np.ndarray, "h w 1"]) -> bytes:
    """Encodes a grey image as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0]).save(buffer, "png")
    return buffer.getvalue()


class ZooDigits(tfds.core.GeneratorBasedBuilder):
    """Handwritten digits: 8x8 grey images of 10 classes, 1,077 / 360 / 360."""

    name = "zoo_digits"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return digit_info(self, __doc__, "https://doi.org/10.24432/C50P49")

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        images, labels = load()
        return {
            split: self._generate_examples(indices, images[indices], labels[indices])
            for split, indices in split_indices(labels).items()
        }

    def _generate_examples(
        self,
        indices: Int[np.ndarray, " n"],
        images: UInt8[np.ndarray, "n 8 8 1"],
        labels: Int[np.ndarray, " n"],
    ) -> Iterator[tuple[int, dict]]:
        for i, image, label in zip(indices.tolist(), images, labels.tolist(), strict=True):
            yield i, {"image": encode_png(image), "label": label}


def digit_info(
    builder: tfds.core.DatasetBuilder, description: str | None, homepage: str | None = None
) -> tfds.core.DatasetInfo:
    """The description that both sets of digits share: 8x8 grey PNG files, classes "0" to "9"."""
    image = tfds.features.Image(shape=(8, 8, 1), dtype=np.uint8, encoding_format="png")
    label = tfds.features.ClassLabel(names=[str(i) for i in range(10)])
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict({"image": image, "label": label}),
        supervised_keys=("image", "label"),
        homepage=homepage,
        disable_shuffling=True,
    )
