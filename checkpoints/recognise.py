"""Which architecture a file of tensors is of, and whose names it uses."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import zoo
from checkpoints.convert import (
    head_size,
    import_weights,
    input_channels,
    shared_names,
    sources,
)
from zoo.errors import UsageError

_CANDIDATES = 6  # architectures of about the right size that are tried


class Converted(NamedTuple):
    """Variables from a file, and what the file says of their model.

    Attributes:
        source: library whose names the tensors have.
        num_classes: outputs of the head; None without one.
        channels: channels of the input.
        variables: nested dictionaries of NumPy arrays.
    """

    source: str
    num_classes: int | None
    channels: int
    variables: dict[str, Any]


def named_in(file_name: str) -> str | None:
    """The longest name of the catalogue that stands in a file's name.

    >>> named_in("wide_resnet50_2-95faca4d.pth")
    'wide_resnet50_2'
    """
    text = file_name.lower().replace("-", "_")
    found = [
        name
        for name in zoo.list_models()
        if re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text)
    ]
    return max(found, key=len, default=None)


def convert(
    architecture: str,
    overrides: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    source: str | None = None,
) -> Converted:
    """The variables of an architecture from the tensors of a file.

    Args:
        architecture: name in the catalogue.
        overrides: fields of the model besides `num_classes`, which the tensors say.
        tensors: arrays under some library's names.
        source: the library; None for the one that knows most of the names.

    Raises:
        UsageError: the tensors do not fit; if they fit other architectures, these are named.
    """
    model = zoo.create_model(architecture, **overrides)
    source = source or _library(model, tensors)
    classes = head_size(model, tensors, source)
    model = zoo.create_model(architecture, **{**overrides, "num_classes": classes})
    try:
        variables = import_weights(model, tensors, source)
    except UsageError as error:
        if not (others := fitting(tensors, but=architecture)):
            raise
        fit = same_shapes(others)
        raise UsageError(f"{fit}; they do not fit {architecture}. {error}") from error
    return Converted(source, classes, input_channels(model, tensors, source), variables)


def same_shapes(architectures: Sequence[str]) -> str:
    """What `fitting` found, with what it is worth."""
    return (
        f"the tensors have the names and shapes of {' or '.join(architectures)}, and no more than "
        "that was compared: other strides, activations or filters against aliasing leave no trace "
        "in a file and give wrong answers"
    )


def fitting(tensors: Mapping[str, np.ndarray], but: str = "") -> list[str]:
    """Architectures whose names and shapes the tensors have, among those of about their size."""
    size = sum(array.size for array in tensors.values())
    distance = {n: abs(zoo.model_info(n).parameters - size) for n in zoo.list_models()}
    closest = sorted(distance, key=lambda name: distance[name])[:_CANDIDATES]
    return [name for name in closest if name != but and _fits(name, tensors)]


def _fits(architecture: str, tensors: Mapping[str, np.ndarray]) -> bool:
    model = zoo.create_model(architecture)
    for source in sources(model):
        classes = head_size(model, tensors, source)
        try:
            import_weights(
                zoo.create_model(architecture, num_classes=classes), tensors, source=source
            )
        except UsageError:
            continue
        return True
    return False


def _library(model: Any, tensors: Mapping[str, np.ndarray]) -> str:
    known = sources(model)
    if not known:
        raise UsageError(f"no library's names for {type(model).__name__} models are known.")

    def shared(source: str) -> int:
        try:
            return shared_names(model, tensors, source)
        except UsageError:  # not even the input is known, without the names of that library
            return 0

    return max(known, key=shared)
