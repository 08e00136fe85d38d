"""Labels of the entries of arrays, and which of them mean one and the same channel."""

import itertools
from collections.abc import Sequence

import numpy as np

FIXED, ANY = 0, -1  # labels of what stays, and of what is the same along an axis
Labels = tuple[np.ndarray, ...]  # for each axis of an array one label per entry


class Ties:
    """Labels and the pairs of them that mean one channel."""

    def __init__(self) -> None:
        self.count = 1
        self.pairs: list[np.ndarray] = []

    def fresh(self, shape: Sequence[int]) -> Labels:
        """New labels for every axis of an array."""
        ends = self.count + np.cumsum([0, *shape])
        self.count = int(ends[-1])
        return tuple(np.arange(*pair) for pair in itertools.pairwise(ends))

    def tie(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Says that two axes are one; its labels."""
        if a is not b:
            both = (a != b) & (a != ANY) & (b != ANY)
            self.pairs.append(np.stack([a[both], b[both]]))
        return np.where(a == ANY, b, a)

    def fix(self, *arrays: Labels) -> None:
        """Says that nothing of these may be cut."""
        for axis in (axis for array in arrays for axis in array):
            self.tie(fixed(len(axis)), axis)

    def roots(self) -> np.ndarray:
        """For every label the smallest one that it is tied to."""
        a, b = np.unique(np.concatenate([np.zeros((2, 1), int), *self.pairs], axis=1), axis=1)
        roots = np.arange(self.count)
        while (roots[a] != roots[b]).any():
            low = np.minimum(roots[a], roots[b])
            for end in (roots[a], roots[b]):
                np.minimum.at(roots, end, low)
            while (roots[roots] != roots).any():
                roots = roots[roots]
        return roots


def fixed(size: int) -> np.ndarray:
    """Labels of an axis that stays as it is."""
    return np.zeros(size, int)
