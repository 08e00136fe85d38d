"""`zoo_tables`: scikit-learn's small tables as a tensorflow-datasets builder.

`zoo_tables/breast_cancer` has 569 rows of 30 columns and 2 classes (Street, Wolberg & Mangasarian
1993), `zoo_tables/wine` 178 rows of 13 columns and 3 classes (Forina et al. 1988). The split is
that of `zoo_digits`: stratified, 60 % for training and 20 % each for validation and test, seed 0.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32, Int

from train.data.digits import split_indices

COLUMNS = {"breast_cancer": 30, "wine": 13}


def load(name: str) -> Any:
    """Rows, classes and their names, as scikit-learn has them."""
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")()


class ZooTables(tfds.core.GeneratorBasedBuilder):
    """Rows of numbers and their classes."""

    name = "zoo_tables"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = tuple(
        tfds.core.BuilderConfig(name=name, description=f"{columns} columns")
        for name, columns in COLUMNS.items()
    )

    def _info(self) -> tfds.core.DatasetInfo:
        name = self._table()
        row = tfds.features.Tensor(shape=(COLUMNS[name],), dtype=np.float32)
        label = tfds.features.ClassLabel(names=[str(k) for k in load(name).target_names])
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict({"row": row, "label": label}),
            supervised_keys=("row", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        table = load(self._table())
        rows, labels = table.data.astype(np.float32), table.target
        return {
            split: self._generate_examples(rows[indices], labels[indices])
            for split, indices in split_indices(labels).items()
        }

    def _generate_examples(
        self, rows: Float32[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
    ) -> Iterator[tuple[int, dict]]:
        for i, (row, label) in enumerate(zip(rows, labels.tolist(), strict=True)):
            yield i, {"row": row, "label": label}

    def _table(self) -> str:
        return self.builder_config.name if self.builder_config else next(iter(COLUMNS))
