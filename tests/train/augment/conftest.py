"""Pictures, and a generator that remembers what it drew."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_image


class Recorder(np.random.Generator):
    """A generator with a list of its draws, in pairs of what was asked for and what came."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))
        self.drawn = []

    def _remembered(self, kind, value):
        self.drawn.append((kind, value))
        return value

    def random(self, *given, **options):
        return self._remembered("random", super().random(*given, **options))

    def uniform(self, *given, **options):
        return self._remembered("uniform", super().uniform(*given, **options))

    def integers(self, *given, **options):
        return self._remembered("integers", super().integers(*given, **options))

    def permutation(self, *given, **options):
        return self._remembered("permutation", super().permutation(*given, **options))

    def dirichlet(self, *given, **options):
        return self._remembered("dirichlet", super().dirichlet(*given, **options))


@pytest.fixture
def recorder():
    """`recorder(seed)`: a generator with a list `drawn`."""
    return Recorder


@pytest.fixture(scope="session")
def photograph():
    """A part of a photograph, (60, 80, 3)."""
    return np.ascontiguousarray(load_sample_image("china.jpg")[100:340:4, 200:520:4])


@pytest.fixture(scope="session")
def digit():
    """A grey picture, (8, 8, 1)."""
    image = np.zeros((8, 8, 1), np.uint8)
    image[2:6, 3:6] = 200
    return image
