"""Data sets of tensorflow-datasets, read as ArrayRecord files without TensorFlow.

The embedded builders are prepared on first use. Any other data set has to be prepared
beforehand, which may need TensorFlow and a download; the error says with which command.
"""

import contextlib
import functools
import io
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.read_only_builder import builder_from_files
from tensorflow_datasets.core.registered import DatasetNotFoundError
from tensorflow_datasets.core.utils.file_utils import list_data_dirs

from checkpoints import installation
from checkpoints.pictures import opened, upright
from checkpoints.preprocess import to_channels
from train.data import mirror
from train.data.dataset import Example, Source, pixels
from train.data.digest import digest
from train.data.digit_bags import ZooDigitBags
from train.data.digits import ZooDigits
from train.data.rendered_digits import ZooRenderedDigits
from train.data.tables import ZooTables
from zoo.errors import UsageError, closest, shown

EMBEDDED: dict[str, type[tfds.core.GeneratorBasedBuilder]] = {
    "zoo_digits": ZooDigits,
    "zoo_digit_bags": ZooDigitBags,
    "zoo_rendered_digits": ZooRenderedDigits,
    "zoo_tables": ZooTables,
}


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


def find_builder(name: str, data_dir: str | os.PathLike | None = None) -> tfds.core.DatasetBuilder:
    """Finds a prepared data set; prepares it if it is an embedded one.

    Raises:
        UsageError: there is no such data set, or it is not prepared, or not as ArrayRecord. Where
            a command mends it, the message holds that command.
    """
    stem, _, config = name.partition(":")[0].partition("/")
    if data_dir is not None:
        data_dir = os.fspath(mirror.local(data_dir, stem))
    if stem in EMBEDDED and config in ("", *EMBEDDED[stem].builder_configs):
        prepare_embedded(EMBEDDED[stem](data_dir=data_dir, config=config or None))
    for folder in list_data_dirs(data_dir):
        require_known_features(pathlib.Path(folder).expanduser() / stem)
    try:
        builder = builder_from_files(name, data_dir=data_dir)
    except (DatasetNotFoundError, ValueError):
        raise UsageError(why_missing(name, data_dir)) from None
    except ModuleNotFoundError as error:
        raise UsageError(
            f"data set {name!r} has a feature, such as audio, that is read with {error.name} only: "
            f"{installation.command('tensorflow')}; or give a folder of arrays, see "
            "`train.data.arrays`"
        ) from error
    check_random_access(builder)
    return builder


def require_known_features(folder: pathlib.Path) -> None:
    """Refuses data sets whose features are of classes that are not tensorflow-datasets' own.

    It would import any module that a features.json names.

    Raises:
        UsageError: there is one, or the file is no JSON.
    """
    for path in folder.glob("**/features.json") if folder.is_dir() else ():
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            foreign = next((k for k in _classes(tree) if not KNOWN_CLASS.fullmatch(k)), None)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"'{path}' holds no JSON that can be read: {error}") from error
        if foreign is not None:
            raise UsageError(
                f"'{path}' names a feature of class {shown(foreign)}, which is not one of "
                "tensorflow-datasets' own, and whose code would be run; remove the folder, or "
                "prepare the data set with features of tensorflow-datasets"
            )


KNOWN_CLASS = re.compile(r"tensorflow_datasets\.core\.features\.(\w+\.)*[A-Z]\w*")


def _classes(tree: Any) -> Iterator[str]:
    """Names of classes anywhere in a features.json, of today's form and of earlier ones."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            is_class = key in ("pythonClassName", "python_class_name", "type")
            if is_class and isinstance(value, str):
                yield value
            else:
                yield from _classes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _classes(value)


def prepare_embedded(builder: tfds.core.DatasetBuilder) -> None:
    """Writes an embedded data set unless it is there already: silent, and takes some seconds.

    Raises:
        UsageError: the data directory cannot be written, or is full.
    """
    try:
        with quiet():
            builder.download_and_prepare(file_format="array_record")
    except (OSError, RuntimeError) as error:  # the writer of ArrayRecord raises the latter
        if (pathlib.Path(builder.data_dir) / "dataset_info.json").exists():
            return  # another process was faster
        raise UsageError(
            f"cannot write data set {builder.name!r} to {builder.data_dir} ({error}); choose "
            "another `data_dir`, or set TFDS_DATA_DIR"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps progress bars and greetings of tensorflow-datasets off the terminal."""
    sink = io.StringIO()
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        yield


def check_random_access(builder: tfds.core.DatasetBuilder) -> None:
    """Raises a UsageError with the command that converts, if the files have no random access."""
    formats = {file_format.value for file_format in builder.info.available_file_formats()}
    if "array_record" not in formats:
        arguments = f"None, 'array_record', dataset_version_dir={os.fspath(builder.data_dir)!r}"
        raise UsageError(
            f"data set {builder.name!r} in {builder.data_dir} is stored as "
            f"{' and '.join(formats)}, which cannot be read at random; convert it with: "
            f"{installation.command('tensorflow')} "
            'apache-beam && python -c "from tensorflow_datasets.scripts.cli.convert_format_utils '
            f'import convert_dataset; convert_dataset({arguments})"'
        )


def why_missing(name: str, data_dir: str | None) -> str:
    """What to tell somebody whose data set was not found."""
    stem = re.split("[/:]", name)[0]
    if stem in EMBEDDED:
        configs = [f"{stem}/{config}" for config in EMBEDDED[stem].builder_configs] or [stem]
        there = ", ".join(f"{config}:{EMBEDDED[stem].VERSION}" for config in configs)
        return f"unknown data set {name!r}; there is {there}"
    known = tfds.list_builders(with_community_datasets=False)
    if stem in known:
        place = f", data_dir={data_dir!r}" if data_dir else ""
        return (
            f"data set {name!r} is not prepared; prepare it with: "
            f"{installation.command('tensorflow')} && "
            'python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder({name!r}, file_format='array_record'{place}).download_and_prepare()\""
        )
    names = {*EMBEDDED, *prepared_names(data_dir), *known}
    return (
        f"unknown data set {name!r}: neither a folder nor a name of tensorflow-datasets"
        f"{closest(name, names)}"
    )


def prepared_names(data_dir: str | None) -> set[str]:
    """Names of the data sets that lie in the data directories."""
    folders = [pathlib.Path(folder).expanduser() for folder in list_data_dirs(data_dir)]
    return {
        path.relative_to(folder).parts[0]
        for folder in folders
        for path in folder.glob("*/**/features.json")
    }
