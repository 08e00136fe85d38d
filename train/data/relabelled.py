"""Data sets whose labels are told in another way: other numbers, or labels of another kind."""

import abc
import dataclasses
from typing import Any

import numpy as np

from train.data.dataset import Dataset, Example, File, View, encoded, label, task_name
from zoo.errors import UsageError


class Relabelled(View, abc.ABC):
    """A view with other labels; `changed` makes them."""

    data: Dataset

    @abc.abstractmethod
    def changed(self, label: Any) -> Any:
        """The label that takes the place of one of `data`."""

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int, /) -> Example:
        example = self.data[index]
        return {"input": example["input"], "label": self.changed(example["label"])}

    def label(self, index: int) -> Any:
        """Returns the label of one example without decoding its image."""
        return self.changed(label(self.data, index))

    def encoded(self, index: int) -> File | None:
        """The file of one example's picture, if it lies in one."""
        return encoded(self.data, index)


@dataclasses.dataclass(frozen=True)
class MultiHot(Relabelled):
    """One class of several, told as a vector with a single 1."""

    data: Dataset

    @property
    def task(self) -> str:
        return "multilabel"

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.data.class_names

    def changed(self, label: int) -> np.ndarray:
        return np.eye(len(self.data.class_names), dtype=np.float32)[label]


@dataclasses.dataclass(frozen=True)
class Valued(Relabelled):
    """Classes whose names are numbers, as those numbers.

    Attributes:
        data: of classes.
        values: of each class.
    """

    data: Dataset
    values: tuple[float, ...]

    @property
    def task(self) -> str:
        return "numbers"

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("value",)

    def changed(self, label: int) -> float:
        return self.values[label]


def as_task(data: Dataset, task: str | None) -> Dataset:
    """`data` with the labels of a task: what is a class can also be one of several, or a number.

    Args:
        data: of any task.
        task: "classes", "multilabel", "numbers" or its other name "regression"; None is what the
            data says.

    Raises:
        UsageError: the labels of `data` cannot be told as such.
    """
    wanted, here = {"regression": "numbers"}.get(task or "", task), task_name(data)
    if wanted in (None, here):
        return data
    if (here, wanted) == ("classes", "multilabel"):
        return MultiHot(data)
    if (here, wanted) == ("classes", "numbers"):
        return Valued(data, tuple(_value(name, data) for name in data.class_names))
    raise UsageError(f"`task` {task} is not that of {data.name!r}, whose labels are {here}")


def _value(name: str, data: Dataset) -> float:
    try:
        return float(name)
    except ValueError as error:
        raise UsageError(
            f"`task` regression wants numbers, and the class {name!r} of {data.name!r} is none; "
            "name the classes by their numbers, or list a target for each file in labels.csv"
        ) from error
