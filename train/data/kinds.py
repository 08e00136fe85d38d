"""What one label is, for each name of a task: its shape, its dtype, and what is wrong with it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Kind(NamedTuple):
    """Labels of one kind.

    Attributes:
        words: how many classes there are, as a line about a data set says it.
        dtype: of a batch of them.
        shape: of one, by the number of classes.
        trouble: (label, number of classes) -> what is wrong with it, or nothing.
    """

    words: Callable[[int], str]
    dtype: type[np.generic]
    shape: Callable[[int], tuple[int, ...]]
    trouble: Callable[[Any, int], str]


def _of_class(label: Any, count: int) -> str:
    if np.ndim(label):
        return (
            ", and one class, or one number, is wanted: multi-hot labels are not supported unless "
            "the data set says `task = 'multilabel'`"
        )
    if 0 <= int(label) < count and int(label) == label:
        return ""
    hint = "; unlabelled examples cannot be used" if label == -1 else ""
    return f", and its {count} classes are numbered from 0 to {count - 1}{hint}"


def _of_number(label: Any, count: int) -> str:
    del count
    if np.ndim(label):
        return ", and one number is wanted"
    return "" if np.isfinite(label) else ", which is not finite; leave the example out"


def _of_several(label: Any, count: int) -> str:
    found = np.asarray(label)
    if found.shape == (count,) and np.isin(found, (0, 1)).all():
        return ""
    return f", and a multi-hot label is wanted: {count} numbers, 1 for each class that it has, or 0"


NUMBER = Kind(lambda k: "numbers", np.float32, lambda k: (), _of_number)
KINDS: dict[str, Kind] = {
    "classes": Kind(lambda k: f"{k} classes", np.int32, lambda k: (), _of_class),
    "multilabel": Kind(lambda k: f"any of {k} classes", np.float32, lambda k: (k,), _of_several),
    "numbers": NUMBER,
}


def zeros(kind: Kind, examples: int, class_names: Sequence[str]) -> np.ndarray:
    """Labels of examples that are still to be read, (examples, ...)."""
    return np.zeros((examples, *kind.shape(len(class_names))), kind.dtype)
