"""`zoo_series`: series of the UCR and UEA archives, which the package sktime carries.

`zoo_series/GunPoint` and the others are in the archives' own splits into training and test (Dau et
al. 2018, https://arxiv.org/abs/1810.07758; Bagnall et al. 2018, https://arxiv.org/abs/1811.00075),
so that accuracies compare with published ones. Series of a set may differ in length.

A file is text: lines that begin with `@` or `#` describe it, then a line is an example, channels
separated by colons, steps by commas, the class at the end.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32

from checkpoints.origins import wheel
from zoo.errors import UsageError

PACKAGE = "sktime"


class Series(NamedTuple):
    """Channels of a set of series, and the names of its classes."""

    channels: int
    classes: tuple[str, ...]


def numbered(first: int, last: int) -> tuple[str, ...]:
    """Names of classes that are numbers."""
    return tuple(map(str, range(first, last + 1)))


SETS = {
    "GunPoint": Series(1, numbered(1, 2)),
    "ACSF1": Series(1, numbered(0, 9)),
    "ArrowHead": Series(1, numbered(0, 2)),
    "BasicMotions": Series(6, ("Standing", "Running", "Walking", "Badminton")),
    "ItalyPowerDemand": Series(1, numbered(1, 2)),
    "JapaneseVowels": Series(12, numbered(1, 9)),
    "OSULeaf": Series(1, numbered(1, 6)),
    "PLAID": Series(1, numbered(0, 10)),
}


def read(path: Path) -> Iterator[tuple[Float32[np.ndarray, "l c"], str]]:
    """Series and the names of their classes.

    Raises:
        UsageError: a line is no series of numbers.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith(("@", "#")):
            continue
        *channels, label = line.strip().split(":")
        try:
            values = np.asarray([np.asarray(c.split(","), np.float32) for c in channels])
        except ValueError as error:
            raise UsageError(f"line {number} of '{path}' is no series: {error}") from error
        yield values.T, label


class ZooSeries(tfds.core.GeneratorBasedBuilder):
    """Series of numbers and their classes."""

    name = "zoo_series"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = tuple(
        tfds.core.BuilderConfig(name=name, description=f"{s.channels} x {len(s.classes)}")
        for name, s in SETS.items()
    )

    def _info(self) -> tfds.core.DatasetInfo:
        found = SETS[self._set()]
        series = tfds.features.Tensor(shape=(None, found.channels), dtype=np.float32)
        label = tfds.features.ClassLabel(names=list(found.classes))
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict({"series": series, "label": label}),
            supervised_keys=("series", "label"),
            homepage="https://www.timeseriesclassification.com",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        name, what = self._set(), "the series of 'zoo_series' lie"
        files = {s: f"sktime/datasets/data/{name}/{name}_{s.upper()}.ts" for s in ("train", "test")}
        paths = {split: wheel.locate(PACKAGE, file, what) for split, file in files.items()}
        return {split: self._generate_examples(path) for split, path in paths.items()}

    def _generate_examples(self, path: Path) -> Iterator[tuple[int, dict]]:
        for i, (series, label) in enumerate(read(path)):
            yield i, {"series": series, "label": label}

    def _set(self) -> str:
        return self.builder_config.name if self.builder_config else next(iter(SETS))
