"""A data set of nothing, for plans that are compiled and not run."""

from typing import Any

import numpy as np

import checkpoints
import zoo
from train.config import Config
from train.data import Dataset, Example
from zoo.errors import UsageError


class Blank:
    """Inputs of zeros, one of each class.

    Args:
        shape: of an input, (h, w, c) of images, (l, c) of series.
        classes: how many.
        task: what labels are, as of any data set.
    """

    name, split, skipped = "blank", "train", 0

    def __init__(self, shape: tuple[int, ...], classes: int, task: str):
        self.task = task
        self.class_names = tuple(map(str, range(classes)))
        dtype = np.float32 if len(shape) == 2 else np.uint8
        self._input: Any = np.zeros(shape, dtype)

    def __len__(self) -> int:
        return len(self.class_names)

    def __getitem__(self, index: int, /) -> Example:
        return {"input": self._input, "label": self.label(index)}

    def label(self, index: int) -> int | float:
        """The class with the number of the example, or a number."""
        return index if self.task == "classes" else float(index)


def blank(config: Config, classes: int | None = None) -> Dataset:
    """What the network that a config names was made to read: as large, and of as many classes.

    Args:
        config: with `model` or `weights`.
        classes: others than those of the network.

    Raises:
        UsageError: the config names no network, or one that there is not.
    """
    if config.weights is not None:
        card = checkpoints.weights_info(config.weights)
        return Blank(
            card.preprocess.shape, classes or card.num_classes or 1, card.task or "classes"
        )
    if config.model is None:
        raise UsageError("`model` or `weights` is needed; `zoo list` and `zoo weights` show them")
    info = zoo.model_info(config.model)
    shape = info.input_shape if len(info.input_shape) > 1 else (1, *info.input_shape)  # of a table
    return Blank(shape, classes or info.num_classes or 1, "classes")
