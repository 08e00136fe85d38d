"""Data sets of tensorflow-datasets, read as ArrayRecord files without TensorFlow.

`train.data.prepared` finds them.
"""

import functools
import io
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from checkpoints.pictures import opened, upright
from checkpoints.preprocess import to_channels
from train.data.dataset import Example, Source, pixels
from train.data.digest import digest
from train.data.prepared import EMBEDDED
from zoo.errors import UsageError


class TfdsSplit(Source):
    """One split (or slice of a split) of a prepared tensorflow-datasets data set."""

    def __init__(self, name: str, builder: tfds.core.DatasetBuilder, split: str):
        self._keys = image_and_label(builder)
        self._records = records(builder, split)
        features = features_of(builder)
        shape = features[self._keys.image].shape
        self._channels = 1 if shape[-1] == 1 else 3
        sizes = (len(self._records), *shape)
        self.contents = functools.partial(contents, builder, split)
        super().__init__(
            name=name,
            split=split,
            class_names=features[self._keys.label].names,
            decoded_bytes=None if None in sizes else int(np.prod(sizes)),
        )

    def __len__(self) -> int:
        return len(self._records)

    def label(self, index: int) -> int:
        return int(self._records[index][self._keys.label])

    def encoded(self, index: int) -> io.BytesIO:
        """The file of one example's picture."""
        return io.BytesIO(self._records[index][self._keys.image])

    def read(self, index: int) -> Example:
        record = self._records[index]
        image = self._decoded(record[self._keys.image], index)
        return {"input": pixels(image), "label": int(record[self._keys.label])}

    def _decoded(self, encoded: bytes, index: int) -> Image.Image:
        try:
            with opened(io.BytesIO(encoded)) as image:
                return to_channels(upright(image), self._channels)
        except Exception as error:  # Pillow's decoders raise whatever their parsers meet
            raise UsageError(
                f"example {index} of {self.name!r} ({self.split}) cannot be read as an image: "
                f"{error}"
            ) from error


class TfdsSeries(Source):
    """The same of series of numbers: audio, or tensors of one or two axes, and a target each."""

    def __init__(self, name: str, builder: tfds.core.DatasetBuilder, split: str):
        keys = pair(builder, is_series, is_target)
        assert keys is not None  # or it would not have been opened as series
        self._keys = keys
        self._records = records(builder, split)
        features = features_of(builder)
        self._is_table = features[self._keys.image].shape[0] is not None
        target = features[self._keys.label]
        self._is_class = type(target) is tfds.features.ClassLabel
        names = target.names if self._is_class else ("value",)
        task = "classes" if self._is_class else "numbers"
        self.contents = functools.partial(contents, builder, split)
        super().__init__(name=name, split=split, class_names=names, task=task)

    def __len__(self) -> int:
        return len(self._records)

    def label(self, index: int) -> int | float:
        target = self._records[index][self._keys.label]
        return int(target) if self._is_class else float(target)

    def read(self, index: int) -> Example:
        record = self._records[index]
        values = np.asarray(record[self._keys.image], np.float32)
        if values.ndim == 1:
            values = values[None] if self._is_table else values[:, None]
        return {"input": values, "label": self.label(index)}


def contents(builder: tfds.core.DatasetBuilder, split: str) -> dict[str, str]:
    """The version, and a digest of the files of a split.

    Embedded data sets follow from their version; their bytes may be others where another Pillow has
    written them, and the pixels are the same.
    """
    version = {"version": str(builder.version)}
    if builder.name in EMBEDDED:
        return version
    words = re.findall(r"\w+", split)
    names = [name for name in builder.info.splits if name in words]
    files = [pathlib.Path(f) for n in names for f in sorted(builder.info.splits[n].filepaths)]
    return version | {"files": digest(files)}


class Keys(NamedTuple):
    """Names of the features that hold the image, or series, and its class, or number."""

    image: str
    label: str


def open_split(name: str, builder: tfds.core.DatasetBuilder, split: str) -> Source:
    """A split of labelled images, or else of series of numbers.

    Raises:
        UsageError: the data set is of neither kind.
    """
    if pair(builder, is_series, is_target):
        return TfdsSeries(name, builder, split)
    return TfdsSplit(name, builder, split)


def features_of(builder: tfds.core.DatasetBuilder) -> dict[str, Any]:
    """The features of a data set by name."""
    features = builder.info.features
    return dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}


def image_and_label(builder: tfds.core.DatasetBuilder) -> Keys:
    """Finds the image and its class: the supervised keys, or else "image" and "label".

    Raises:
        UsageError: the data set is not one of labelled images.
    """
    is_image, is_class = (
        lambda feature, kind=kind: type(feature) is kind
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    )
    if keys := pair(builder, is_image, is_class):
        return keys
    raise UsageError(
        f"data set {builder.name!r} has no pair of an image and one class label, it holds "
        f"{', '.join(map(repr, sorted(features_of(builder))))}: choose a data set for image "
        "classification, or one whose supervised keys are a series of numbers and its target"
    )


def pair(
    builder: tfds.core.DatasetBuilder,
    is_input: Callable[[Any], bool],
    is_label: Callable[[Any], bool],
) -> Keys | None:
    """The supervised keys, or else "image" and "label", if they are of the kinds wanted."""
    features = features_of(builder)
    for keys in builder.info.supervised_keys or (), ("image", "label"):
        found = [features.get(key) for key in keys if isinstance(key, str)]
        if len(found) == 2 and is_input(found[0]) and is_label(found[1]):
            return Keys(*map(str, keys))
    return None


def is_series(feature: Any) -> bool:
    """Whether a feature is audio, or numbers along one or two axes."""
    kinds = (tfds.features.Audio, tfds.features.Tensor)
    return type(feature) in kinds and len(feature.shape) in (1, 2)


def is_target(feature: Any) -> bool:
    """Whether a feature is a class, or one number."""
    if type(feature) is tfds.features.ClassLabel:
        return True
    number = isinstance(feature, tfds.features.Tensor) and feature.shape == ()
    return number and feature.np_dtype in (np.float32, np.float64)


def records(builder: tfds.core.DatasetBuilder, split: str) -> Sequence[dict[str, Any]]:
    """Opens a split, or a slice such as `train[:10%]`, for random access.

    Images are left encoded: decoding is ours, so that it means the same as for a folder.
    """
    features = features_of(builder)
    images = [name for name, kind in features.items() if type(kind) is tfds.features.Image]
    open_split: Any = builder.as_data_source  # its decorator hides the signature
    try:
        return open_split(split, decoders={name: tfds.decode.SkipDecoding() for name in images})
    except (ValueError, KeyError) as error:
        known = ", ".join(map(repr, builder.info.splits))
        raise UsageError(
            f"data set {builder.name!r} has no split {split!r}; it has {known}, and slices of them "
            "such as 'train[:10%]'"
        ) from error
