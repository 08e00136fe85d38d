"""Our own trees in files of other formats: every leaf under its path, `params/stem/conv/kernel`."""

from collections.abc import Mapping

import numpy as np

from checkpoints.convert.rules import Shape, Table
from zoo.errors import UsageError

NAME = "zoo"
_FIRST = ("params/encoder/kernel", "params/embed/kernel", "params/embed0/kernel")
_POSITIONS = "params/positions"


def table(reads_images: bool) -> Table:
    """The table without rules, in which every leaf is called by its path."""
    return Table(rules=(), order=(), separator="/", example=None if reads_images else example)


def example(tensors: Mapping[str, np.ndarray]) -> Shape:
    """Shape of an input that is no image: one step, as deep as the layer that reads it.

    Raises:
        UsageError: there is no such layer.
    """
    kernels = (tensors[name].shape for name in _FIRST if name in tensors)
    depth = next((shape[0] for shape in kernels if shape), None)
    if depth is None:
        raise UsageError(f"there is no {' or '.join(_FIRST)}, so the input is not known.")
    positions = tensors.get(_POSITIONS, np.zeros(1))
    return positions.shape[0] if positions.ndim else 1, depth
