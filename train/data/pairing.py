"""Classes of a data set as those of weights: paired by name, never by their order."""

import dataclasses
import functools
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

from checkpoints.card import Card
from train.data.dataset import Dataset, task_name
from train.data.relabelled import Relabelled, as_task
from zoo.errors import UsageError

SHOWN = 5  # names of each side in an error message


@dataclasses.dataclass(frozen=True)
class Paired(Relabelled):
    """The examples of `data`, labelled with other numbers.

    Attributes:
        data: labelled with its own classes.
        numbers: of the other classes, one for each of its own.
        class_names: of the other classes.
    """

    data: Dataset
    numbers: tuple[int, ...]
    class_names: tuple[str, ...]

    def changed(self, label: Any) -> Any:
        if not np.ndim(label):
            return self.numbers[int(label)]
        found = np.zeros(len(self.class_names), np.float32)
        np.maximum.at(found, list(self.numbers), label)  # two may have the name of one
        return found


def paired(data: Dataset, card: Card, weights: str | None = None) -> Dataset:
    """`data` with the classes of weights: each of its own is the one of the same name.

    Capitals, underscores and spaces at the ends do not count. ImageNet's identifiers such as
    n01440764 are names too. A data set may have a part of the classes. Where the weights have no
    names, numbers pair with numbers.

    Args:
        data: of one class or several, or of numbers to be predicted, which are left alone. Where
            the card says what labels are, they are told so; see `train.data.relabelled`.
        card: of the weights.
        weights: what the user called them; None is the name on the card.

    Raises:
        UsageError: the data set has a class that the weights do not tell apart.
    """
    data = as_task(data, card.task)
    theirs, ours, weights = data.class_names, card.labels, weights or card.name
    if task_name(data) == "numbers" or theirs == ours:
        return data
    if ours is None:
        return _numbered(data, card, weights)
    known = _numbers(ours) | (_wnids() if card.label_set == "imagenet1k" else {})
    numbers = [known.get(_plain(name)) for name in theirs]
    if unknown := [name for name, n in zip(theirs, numbers, strict=True) if n is None]:
        raise UsageError(
            f"{weights} does not know the classes {_some(unknown)} of {data.name}: it tells "
            f"apart {_some(ours)}; rename what is the same, leave out what is not, or adapt the "
            f"weights with `zoo finetune --weights {weights} --dataset {data.name}`"
        )
    return Paired(data, tuple(n for n in numbers if n is not None), ours)


def _numbered(data: Dataset, card: Card, weights: str) -> Dataset:
    if len(data.class_names) != card.num_classes:
        raise UsageError(
            f"{weights} tells {card.num_classes} classes apart and names none, {data.name} has "
            f"{len(data.class_names)}; adapt the weights with `zoo finetune --weights {weights} "
            f"--dataset {data.name}`"
        )
    return data


def _numbers(names: Sequence[str]) -> dict[str, int]:
    """The number of each name that only one class has."""
    plain = [_plain(name) for name in names]
    return {name: n for n, name in enumerate(plain) if plain.count(name) == 1}


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().casefold()


@functools.cache
def _wnids() -> dict[str, int]:
    """ImageNet's identifiers, whose order is that of its classes."""
    folder = resources.files("tensorflow_datasets") / "image_classification"
    names = (folder / "imagenet_resized_labels.txt").read_text().split()
    return {name: n for n, name in enumerate(sorted(names))}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
