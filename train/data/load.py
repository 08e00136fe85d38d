"""Data sets by name: folders, files of records, or anything that tensorflow-datasets knows."""

import os
import pathlib
import re

from train.data.dataset import Dataset, label
from zoo.errors import UsageError

EMBEDDED = ("zoo_digits", "zoo_rendered_digits", "zoo_digit_bags", "zoo_tables")
EMBEDDED += ("zoo_mnist5k", "zoo_textures", "zoo_series")  # of files in packages of the index
TEST_SPLITS = ("test", "validation", "val", "valid")


def load_dataset(
    name: str | os.PathLike,
    split: str = "train",
    *,
    data_dir: str | os.PathLike | None = None,
    skip_broken: bool = False,
) -> Dataset:
    """Opens one split of a data set of labelled images, or of series of numbers.

    Args:
        name: a folder with one sub-folder of images per class, or with a folder of those per split
            (train, validation or val, test); a folder of images with a table of labels, see
            `train.data.listed`; a folder of arrays, see `train.data.arrays`; files of records, or a
            folder of them, see `train.data.records`; or a name of tensorflow-datasets, prepared as
            ArrayRecord. `zoo_digits`, `zoo_rendered_digits`,
            `zoo_digit_bags` and `zoo_tables` prepare themselves, and so do `zoo_mnist5k`,
            `zoo_textures` and `zoo_series/NAME` where the extra `[samples]` is installed. A folder
            that exists goes before a data set of the same name, except those.
        split: a split, a slice of it such as "train[:10%]", or a sum, "train+validation[50%:]".
        data_dir: where tensorflow-datasets keeps its files; None is its own default.
        skip_broken: leave out files of a folder that are not readable images, and count them in
            `skipped`, instead of raising.

    Raises:
        UsageError: there is no such data set or split, it is not prepared, is not one of labelled
            images, or holds a broken image. The message says what to do.

    >>> data = train.load_dataset("zoo_digits", "validation")
    >>> len(data), data.class_names[:3], data[0]["input"].shape, data[0]["label"]
    (360, ('0', '1', '2'), (8, 8, 1), 5)
    """
    if is_folder(name):
        from train.data import arrays, folder, listed, mirror, records

        root = mirror.local(name)
        if records.shards(root):
            return records.load(root, split)
        if arrays.parts(root):
            return arrays.load(root, split)
        if listed.homes(root):
            return listed.load(root, split, skip_broken=skip_broken)
        return folder.load(root, split, skip_broken=skip_broken)
    from train.data import prepared, tfds

    name = os.fspath(name)
    return tfds.open_split(name, prepared.find_builder(name, data_dir), split)


def splits(name: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> tuple[str, ...]:
    """Names of the splits of a data set, in its own order."""
    if is_folder(name):
        from train.data import arrays, folder, listed, mirror, records

        root = mirror.local(name)
        if records.shards(root):
            return records.splits(root)
        if listed.homes(root) and not arrays.parts(root):
            return listed.splits(root)
        return tuple(arrays.parts(root)) or folder.splits(root)
    from train.data import prepared

    return tuple(prepared.find_builder(os.fspath(name), data_dir).info.splits)


def evaluation_split(name: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> str:
    """The split to evaluate on: "test", unless it is missing or unlabelled, else "validation".

    Raises:
        UsageError: the data set has neither.
    """
    known = splits(name, data_dir)
    for split in TEST_SPLITS:
        if split in known and is_labelled(name, split, data_dir):
            return split
    raise UsageError(
        f"data set {os.fspath(name)!r} has no labelled split to evaluate on (it has "
        f"{', '.join(map(repr, known))}): keep a share of another out of training with "
        "`validation` 0.1, or name a split or a slice such as 'train[90%:]'"
    )


def is_folder(name: str | os.PathLike) -> bool:
    """Whether `name` means a folder: it exists, or it is written as a path is."""
    if isinstance(name, str) and re.split("[/:]", name)[0] in EMBEDDED:
        return False
    written = not isinstance(name, str) or name.startswith((".", "/", "~")) or "://" in name
    return written or pathlib.Path(name).exists()


def is_labelled(name: str | os.PathLike, split: str, data_dir: str | os.PathLike | None) -> bool:
    """Whether the examples of a split have labels; the test split of ImageNet has none."""
    return is_folder(name) or label(load_dataset(name, split, data_dir=data_dir), 0) >= 0
