"""Which example of a data set stands at a position of the endless stream of training examples.

A sampler is a pure function (seed, position) -> index, so that a run goes on where it stopped.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from train.data.dataset import Dataset, label, task_name
from zoo.errors import UsageError

Sampler = Callable[[int, int], int]

# Second words of the seeds of independent streams; those of `train.data.pipeline` are 0 and 1.
ORDER, CLASSES, MEMBERS = 0, 2, 3
KEPT = 4096  # permutations that are remembered: one for each class, and of the last positions


@dataclasses.dataclass(frozen=True)
class Shuffled:
    """Every example once in an epoch, each epoch in a new order.

    Attributes:
        length: of the data set.
    """

    length: int

    def __call__(self, seed: int, position: int) -> int:
        epoch, offset = divmod(position, self.length)
        return int(order(self.length, seed, epoch)[offset])


@dataclasses.dataclass(frozen=True)
class Balanced:
    """Every class once in as many positions as there are classes, in a new order each time.

    Of a class every example comes once before one comes again.

    Attributes:
        members: of each class that has any, the indices of its examples.
    """

    members: tuple[tuple[int, ...], ...]

    def __call__(self, seed: int, position: int) -> int:
        turn, offset = divmod(position, len(self.members))
        number = int(_drawn(len(self.members), (seed, CLASSES, turn))[offset])
        examples = self.members[number]
        epoch, place = divmod(turn, len(examples))
        return examples[_drawn(len(examples), (seed, MEMBERS, number, epoch))[place]]


def balanced(data: Dataset) -> Balanced:
    """The sampler of a data set's classes; those without examples are left out.

    Raises:
        UsageError: its labels are not one class each.

    >>> data = train.load_dataset("zoo_digits")
    >>> sampler = balanced(data)
    >>> sorted(data[sampler(0, position)]["label"] for position in range(10))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    if task_name(data) != "classes":
        raise UsageError(
            f"`sampling` balanced is for one class of several, and the labels of {data.name!r} are "
            f"{task_name(data)}; leave it out"
        )
    labels = np.array([label(data, index) for index in range(len(data))])
    found = (np.flatnonzero(labels == k) for k in range(len(data.class_names)))
    return Balanced(tuple(tuple(each.tolist()) for each in found if each.size))


@functools.lru_cache(maxsize=2)  # an epoch's end and the next one's beginning
def order(length: int, seed: int, epoch: int) -> Int[np.ndarray, " length"]:
    """The permutation of an epoch."""
    return np.random.default_rng((seed, ORDER, epoch)).permutation(length)


@functools.lru_cache(maxsize=KEPT)
def _drawn(length: int, words: tuple[int, ...]) -> Int[np.ndarray, " length"]:
    return np.random.default_rng(words).permutation(length)
