"""What a data set is to this package, and the views that are made of one.

A data set is a sequence of labelled images, or of series of numbers. Anything that satisfies
`Dataset` can be trained on and evaluated; `train.data.load_dataset` makes one from a name or from a
folder.
"""

import abc
import contextlib
import dataclasses
import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import Float32, Num, UInt8
from PIL import Image

from checkpoints.pictures import opened
from train.data.kinds import KINDS, NUMBER, Kind
from zoo.errors import UsageError

File = str | os.PathLike[str] | io.BytesIO

# A source whose decoded images take less than this keeps them, so that no image is decoded twice:
# reading a record and decoding a tiny PNG costs some 100 µs, more than a training step per image.
IN_MEMORY_BYTES = 256 * 2**20


class Example(TypedDict):
    """One image with its label, an index into `class_names` (-1 where there is none).

    Of a series of numbers, `input` is float32 (length, channels); a label that is a float is a
    number to be predicted, and an array says of each class whether the example has it, 1 or 0.
    """

    input: UInt8[np.ndarray, "h w c"] | Float32[np.ndarray, "l c"]
    label: int | float | Num[np.ndarray, " k"]


@runtime_checkable
class Dataset(Protocol):
    """A named sequence of labelled images, uint8, height by width by 1 or 3; or of series.

    Its attribute `task` names what labels are, "classes", "multilabel" or "numbers"; without it
    they are classes.
    """

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def skipped(self) -> int:
        """How many broken images were left out."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Example: ...


class Source(abc.ABC):
    """A data set that reads its examples from files, and keeps them if they are small.

    Args:
        decoded_bytes: size of all images once decoded, or None if it is not known.
        name: as the user wrote it; `split`, `class_names` and `skipped` as in `Dataset`.
        task: what labels are, a name in `train.task.TASKS`.
        left_out: what was found and is not used, in words.
    """

    def __init__(
        self,
        *,
        name: str,
        split: str,
        class_names: Sequence[str],
        skipped: int = 0,
        decoded_bytes: int | None = None,
        task: str = "classes",
        left_out: str = "",
    ):
        self.name = name
        self.task = task
        self.left_out = left_out
        self.split = split
        self.class_names = tuple(class_names)
        self.skipped = skipped
        small = decoded_bytes is not None and decoded_bytes <= IN_MEMORY_BYTES
        self._kept: dict[int, Example] | None = {} if small else None

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def label(self, index: int) -> Any:
        """Returns the label of one example without decoding its image."""

    def contents(self) -> dict[str, str]:
        """What it is read from: a digest for each part, by which a change of that part is known."""
        return {}

    @abc.abstractmethod
    def read(self, index: int) -> Example:
        """Reads and decodes one example; `0 <= index < len(self)`."""

    def __getitem__(self, index: int, /) -> Example:
        index = range(len(self))[index]  # negative indices, and IndexError at the end
        if self._kept is None:
            return self.read(index)
        if index not in self._kept:
            example = self.read(index)
            example["input"].flags.writeable = False
            self._kept[index] = example
        return self._kept[index].copy()

    def __repr__(self) -> str:
        counts = f"{len(self)} images, {len(self.class_names)} classes"
        return f"{type(self).__name__}({self.name!r}, split={self.split!r}: {counts})"


class View:
    """A data set made of another, `data`, of which it has all that it does not change."""

    data: Dataset

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def split(self) -> str:
        return self.data.split

    @property
    def task(self) -> str:
        return task_name(self.data)

    @property
    def left_out(self) -> str:
        return getattr(self.data, "left_out", "")

    @property
    def skipped(self) -> int:
        return self.data.skipped


@dataclasses.dataclass(frozen=True)
class Subset(View):
    """The examples of `data` at `indices`, in that order."""

    data: Dataset
    indices: tuple[int, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.data.class_names

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Example:
        return self.data[self.indices[index]]

    def label(self, index: int) -> Any:
        """Returns the label of one example without decoding its image."""
        return label(self.data, self.indices[index])

    def encoded(self, index: int) -> File | None:
        """The file of one example's picture, if it lies in one."""
        return encoded(self.data, self.indices[index])


def require_label(data: Dataset, index: int, found: object) -> None:
    """Refuses what is no label of a data set.

    Raises:
        UsageError: a class is no index into `class_names`, a number is not finite, and so on.
    """
    if trouble := kind_of(data).trouble(found, len(data.class_names)):
        raise UsageError(
            f"example {index} of {data.name!r} ({data.split}) has the label {found!r}{trouble}"
        )


def kind_of(data: Dataset) -> Kind:
    """What one label of a data set is; of a task of one's own, one number."""
    return KINDS.get(task_name(data), NUMBER)


def label(data: Dataset, index: int) -> Any:
    """Label of one example; the image is decoded only if `data` knows no other way."""
    known = getattr(data, "label", None)
    return known(index) if callable(known) else data[index]["label"]


def encoded(data: Dataset, index: int) -> File | None:
    """The file of an example's picture, where `data` reads its pictures from files."""
    known: Callable[[int], File] | None = getattr(data, "encoded", None)
    return None if known is None else known(index)


@contextlib.contextmanager
def undecoded(data: Dataset, index: int) -> Iterator[tuple[Image.Image | np.ndarray, Any]]:
    """An example's picture and label; a picture in a file is opened and not yet decoded."""
    if (file := encoded(data, index)) is None:
        example = data[index]
        yield example["input"], example["label"]
        return
    with opened(file) as image:
        yield image, label(data, index)


def task_name(data: Dataset) -> str:
    """What the labels of a data set are: a name in `train.task.TASKS`.

    Raises:
        UsageError: labels are no indices, and the data set does not say what they are.
    """
    named = getattr(data, "task", None)
    if named is None and isinstance(label(data, 0), float):
        raise UsageError(
            f"labels of {data.name!r} are numbers, not indices of classes, and the data set does "
            "not say what they mean: give it an attribute `task = 'numbers'`"
        )
    return named or "classes"


def found(data: Dataset) -> str:
    """What was found where a data set was opened, in a line."""
    of = kind_of(data).words(len(data.class_names))
    left_out = getattr(data, "left_out", "") or (f"{data.skipped} broken" if data.skipped else "")
    also = f"; left out: {left_out}" if left_out else ""
    return f"{data.name}:{data.split}: {len(data)} examples of {of}{also}"


def pixels(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    """The pixels of a grey or RGB image, with the axis of channels that a grey one lacks."""
    return np.array(image).reshape(image.height, image.width, -1)


def few_shot(data: Dataset, per_class: int, seed: int) -> Subset:
    """Draws exactly `per_class` examples of every class, without replacement.

    The draw depends on `seed` alone, and the draw of fewer images is part of the draw of more. It
    reads labels in a random order and stops as soon as every class is full, so it is cheap on
    large data sets too.

    Args:
        data: of classes.
        per_class: examples of each class.
        seed: of the draw.

    Raises:
        UsageError: a class has fewer than `per_class` examples.

    >>> few = train.few_shot(train.load_dataset("zoo_digits"), per_class=5, seed=0)
    >>> len(few), few.class_names[:3]
    (50, ('0', '1', '2'))
    """
    if per_class < 1:
        raise UsageError(f"`per_class` must be at least 1, got {per_class}")
    if task_name(data) != "classes":
        raise UsageError(
            f"`per_class` is for data sets of classes, and {data.name!r} has other labels "
            f"({task_name(data)}); leave it out, or take a slice such as 'train[:10%]'"
        )
    wanted = dict.fromkeys(range(len(data.class_names)), per_class)
    chosen: list[int] = []
    for index in np.random.default_rng(seed).permutation(len(data)).tolist():
        k = int(label(data, index))
        if wanted.get(k, 0) > 0:
            wanted[k] -= 1
            chosen.append(index)
        if len(chosen) == per_class * len(wanted):
            return Subset(data, tuple(sorted(chosen)))
    poorest = max(wanted, key=wanted.__getitem__)
    raise UsageError(
        f"split {data.split!r} of {data.name!r} has {per_class - wanted[poorest]} images of class "
        f"{data.class_names[poorest]!r}, and {per_class} of each class are asked for: ask for fewer"
    )
