"""`zoo_digit_bags`: is there a 9 in the bag? Handwritten digits for multiple-instance learning.

A bag is a sheet of 4x4 squares with 6 to 16 handwritten digits of `zoo_digits` in random squares;
the others are blank. Half of the bags hold one or two nines, the others none: only the bag is
labelled. Bags of a split are drawn from the digits of the same split of `zoo_digits`, so that no
digit of a test bag was ever seen in training. Ilse, Tomczak & Welling 2018, section 4.2, made such
bags of MNIST: https://arxiv.org/abs/1802.04712.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8

from train.data import digits

SQUARES, SIDE = 4, 8
BAGS = {"train": 4000, "validation": 500, "test": 1000}
WANTED = 9


class ZooDigitBags(tfds.core.GeneratorBasedBuilder):
    """Bags of handwritten digits: 32x32 grey sheets, "without" or "with" a 9."""

    name = "zoo_digit_bags"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        shape = (SQUARES * SIDE, SQUARES * SIDE, 1)
        image = tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png")
        label = tfds.features.ClassLabel(names=["without", "with"])
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict({"image": image, "label": label}),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        images, labels = digits.load()
        parts = digits.split_indices(labels)
        return {
            split: self._generate_examples(seed, count, images[parts[split]], labels[parts[split]])
            for seed, (split, count) in enumerate(BAGS.items())
        }

    def _generate_examples(
        self,
        seed: int,
        count: int,
        images: UInt8[np.ndarray, "n 8 8 1"],
        labels: Int[np.ndarray, " n"],
    ) -> Iterator[tuple[int, dict]]:
        rng = np.random.default_rng(seed)
        for i in range(count):
            sheet = draw_bag(images, labels, i % 2, rng)
            yield i, {"image": digits.encode_png(sheet), "label": i % 2}


def draw_bag(
    images: UInt8[np.ndarray, "n 8 8 1"],
    labels: Int[np.ndarray, " n"],
    label: int,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "32 32 1"]:
    """One sheet, with one or two nines if `label` is 1, without if it is 0."""
    size = int(rng.integers(6, SQUARES**2 + 1))
    nines = int(rng.integers(1, 3)) if label else 0
    chosen = np.concatenate(
        [
            rng.choice(np.flatnonzero(labels == WANTED), nines, replace=False),
            rng.choice(np.flatnonzero(labels != WANTED), size - nines, replace=False),
        ]
    )
    squares = np.zeros((SQUARES**2, SIDE, SIDE), np.uint8)
    squares[rng.permutation(SQUARES**2)[:size]] = images[chosen, ..., 0]
    sheet = squares.reshape(SQUARES, SQUARES, SIDE, SIDE).swapaxes(1, 2)
    return sheet.reshape(SQUARES * SIDE, SQUARES * SIDE, 1)
