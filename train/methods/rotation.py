"""Rotation prediction: features from images without labels.

Every image is in the batch four times, turned by 0, 90, 180 and 270 degrees, and the network says
which turn it was. Gidaris et al. 2018, https://arxiv.org/abs/1803.07728.

>>> model = zoo.create_model("resnet8", num_classes=4)
>>> objective = rotation()
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from train.data.dataset import Dataset, Example, View
from train.objective import Batch, Objective, on, supervised
from zoo.errors import UsageError

TURNS = ("0°", "90°", "180°", "270°")


def rotation() -> Objective:
    """Cross entropy of the four turns; the network has four outputs, labels are not read.

    Square images, (b, h, h, c). A batch of b images is one of 4b examples.
    """
    return on(turned, supervised())


def turned(batch: Batch, following: Batch, key: Any) -> Batch:
    """The four turns of every image, counter-clockwise, image by image."""
    del following, key
    x = batch["input"]
    if x.ndim != 4 or x.shape[1] != x.shape[2]:
        raise UsageError(
            f"rotation prediction wants square images, (b, h, h, c), got shape {x.shape}"
        )
    turns = jnp.stack([jnp.rot90(x, n, (1, 2)) for n in range(4)], axis=1)
    return {"input": turns.reshape(-1, *x.shape[1:]), "label": jnp.tile(jnp.arange(4), len(x))}


@dataclasses.dataclass(frozen=True)
class Unturned(View):
    """The images of `data` for `rotation`, which turns them itself: 0° is the label of each."""

    data: Dataset
    class_names: tuple[str, ...] = TURNS

    @property
    def task(self) -> str:
        return "classes"

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int, /) -> Example:
        return {"input": self.data[index]["input"], "label": 0}


@dataclasses.dataclass(frozen=True)
class Turned(View):
    """The four turns of every image of `data`, labelled with the turn: to evaluate on.

    Square images only.
    """

    data: Dataset
    class_names: tuple[str, ...] = TURNS

    @property
    def task(self) -> str:
        return "classes"

    def __len__(self) -> int:
        return 4 * len(self.data)

    def __getitem__(self, index: int, /) -> Example:
        index = range(len(self))[index]
        pixels = np.rot90(self.data[index // 4]["input"], index % 4)
        return {"input": np.ascontiguousarray(pixels), "label": index % 4}
