"""A data set in two parts, drawn by a seed: one to train on, one to be measured by."""

import numpy as np

from train.data.dataset import Dataset, Subset, label, task_name
from zoo.errors import UsageError


def cut(data: Dataset, share: float, seed: int) -> tuple[Subset, Subset]:
    """The rest of a data set, and a share of it; of each class to within one example.

    Args:
        data: of classes or numbers.
        share: of the second part, above 0 and below 1.
        seed: of the draw.

    Raises:
        UsageError: one of the parts would be empty.

    >>> rest, validation = cut(train.load_dataset("zoo_digits"), share=0.1, seed=0)
    >>> len(rest), len(validation)
    (970, 107)
    """
    ordered = _drawn(data, seed)
    places = np.arange(len(ordered))
    chosen = np.floor((places + 1) * share) > np.floor(places * share)
    if chosen.all() or not chosen.any():
        raise UsageError(
            f"`validation` must leave examples in both parts, and {share} of the {len(data)} of "
            f"{data.name}:{data.split} does not; take another share"
        )
    return _halves(data, ordered, chosen)


def fold(data: Dataset, count: int, n: int, seed: int) -> tuple[Subset, Subset]:
    """All but the n-th of `count` equal parts of a data set, and that part.

    Every example is in one part, and classes are spread over them to within one example.

    Args:
        data: of classes or numbers.
        count: parts, at least 2.
        n: which, from 0.
        seed: of the draw, the same for all parts.

    Raises:
        UsageError: there are fewer examples than parts.
    """
    if count > len(data):
        raise UsageError(
            f"`folds` must be at most the {len(data)} examples of {data.name}, got {count}"
        )
    ordered = _drawn(data, seed)
    return _halves(data, ordered, np.arange(len(ordered)) % count == n)


def _halves(data: Dataset, ordered: np.ndarray, chosen: np.ndarray) -> tuple[Subset, Subset]:
    rest, part = (np.sort(ordered[which]).tolist() for which in (~chosen, chosen))
    return Subset(data, tuple(rest)), Subset(data, tuple(part))


def _drawn(data: Dataset, seed: int) -> np.ndarray:
    """All indices in an order of the seed's, one class after the other."""
    order = np.random.default_rng(seed).permutation(len(data))
    if task_name(data) != "classes":
        return order
    labels = np.array([label(data, index) for index in order.tolist()])
    return order[np.argsort(labels, kind="stable")]
