"""Augmentations by name: the one table for configs and commands.

A config names them with JSON arguments, `randaugment:num_ops=2,magnitude=9`; they act in the order
in which they stand, a crop before all others.
"""

import typing
from collections.abc import Callable, Sequence
from typing import Any

from train.augment.augmentation import Augmentation
from train.augment.augmix import augmix
from train.augment.checks import require, saying
from train.augment.colour import color_jitter
from train.augment.erasing import cutout, random_erasing
from train.augment.geometry import (
    Crop,
    affine,
    horizontal_flip,
    padded_crop,
    random_crop,
    random_resized_crop,
    vertical_flip,
)
from train.augment.increasing import randaugment_increasing
from train.augment.operation import Operation
from train.augment.policies import autoaugment, randaugment, trivialaugment
from train.calls import Call, looked_up
from train.typed_json import from_json
from zoo.errors import UsageError, closest


def repeated(views: int = 3) -> int:
    """Every example several times in a batch, each time changed anew.

    Hoffer et al. 2020, https://arxiv.org/abs/1901.09335. The length of a run counts views: in as
    many steps as without, a `views`-th of the examples is seen.

    Args:
        views: of an example; batches hold a multiple of it.
    """
    require("views", views, 1)
    return views


def scaled_decoding() -> bool:
    """Large JPEG files are decoded at no more pixels than are needed: see `decoding`."""
    return True


CROPS: dict[str, Callable[..., Crop]] = {
    "random_resized_crop": random_resized_crop,
    "random_crop": random_crop,
}
OPERATIONS: dict[str, Callable[..., Operation]] = {
    "horizontal_flip": horizontal_flip,
    "vertical_flip": vertical_flip,
    "padded_crop": padded_crop,
    "affine": affine,
    "randaugment": randaugment,
    "randaugment_increasing": randaugment_increasing,
    "autoaugment": autoaugment,
    "trivialaugment": trivialaugment,
    "augmix": augmix,
    "color_jitter": color_jitter,
    "random_erasing": random_erasing,
    "cutout": cutout,
}
READING: dict[str, Callable[..., Any]] = {
    "repeated": repeated,
    "scaled_decoding": scaled_decoding,
}
NAMES: dict[str, Callable[..., Any]] = CROPS | OPERATIONS | READING


def augmentation_of(calls: Sequence[Call]) -> Augmentation:
    """The augmentation that a config names.

    Args:
        calls: names in `NAMES` with arguments.

    Raises:
        UsageError: there is no such name, it takes no such argument, or it can be given once only.

    >>> augment = augmentation_of([Call("randaugment", {"magnitude": 5}), Call("repeated")])
    >>> len(augment.operations), augment.views
    (1, 3)
    """
    made = [(call.name, _made(call)) for call in calls]
    once = {name: value for name, value in made if name not in OPERATIONS}
    if len(once) < sum(name not in OPERATIONS for name, _ in made):
        twice = next(name for name in once if [n for n, _ in made].count(name) > 1)
        raise UsageError(f"`augment` names {twice} twice; give it once")
    return Augmentation(
        crop=next((crop for name, crop in once.items() if name in CROPS), None),
        operations=tuple(operation for name, operation in made if name in OPERATIONS),
        views=once.get("repeated", 1),
        scaled=once.get("scaled_decoding", False),
    )


def _made(call: Call) -> Any:
    make = looked_up(call, "augment", NAMES)
    with saying(f"`augment` {call.name}"):
        return make(**_read(call.arguments, make))


def _read(arguments: dict[str, Any], make: Callable[..., Any]) -> dict[str, Any]:
    """JSON arguments of a function, each of the type that it says."""
    kinds = typing.get_type_hints(make)
    del kinds["return"]
    for name in arguments:
        if name not in kinds:
            known = f"there are {', '.join(kinds)}" if kinds else "there is none"
            raise UsageError(f"no argument {name!r}{closest(name, kinds) or f'; {known}'}")
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in arguments.items()}
    return {name: from_json(kinds[name], v, f"`{name}`") for name, v in plain.items()}
