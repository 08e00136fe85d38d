"""Other libraries' tensors to our trees and back: one rename table per family."""

import contextlib
import importlib
import importlib.util
from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from checkpoints import former_names
from checkpoints.convert import own
from checkpoints.convert.rules import (
    Path,
    Shape,
    Table,
    from_source,
    renumbered,
    source_name,
    to_source,
)
from zoo.catalogue import family_of
from zoo.errors import UsageError

__all__ = [
    "export_weights",
    "head_size",
    "import_weights",
    "input_channels",
    "pooling",
    "shared_names",
    "sources",
]


def import_weights(
    model: nn.Module, tensors: Mapping[str, np.ndarray], source: str = "timm"
) -> dict[str, Any]:
    """Variables of `model` from another library's tensors; strict in both directions.

    Args:
        model: the architecture, with as many classes as the tensors have.
        tensors: arrays under the source's own names. Their dtypes are kept. The first convolution
            says for how many channels of input they are.
        source: the library whose names they are, as in `"timm"` or `"torchvision"`; "zoo" for our
            own paths, `params/stem/conv/kernel`, or those of earlier versions.

    Returns:
        Nested dictionaries of NumPy arrays: views of `tensors` where the layout allows.

    Raises:
        UsageError: a tensor is missing, left over, of another shape or of integers (the whole
            difference is shown), or the family is not known under `source`.
    """
    table = _table(model, source)
    shapes = _shapes(model, table, tensors)
    if source == own.NAME:
        names = former_names.found(["/".join(path) for path in shapes], tensors)
        tensors = former_names.renamed(tensors, names)
    return traverse_util.unflatten_dict(from_source(table, shapes, tensors))


def export_weights(
    model: nn.Module, variables: Mapping[str, Any], target: str = "timm"
) -> dict[str, np.ndarray]:
    """The inverse of `import_weights`: names, layout and key order of the target library.

    Arrays are contiguous and keep their dtype. Counters of batches seen, which carry no weight
    and have no place in our trees, are written as zero.

    Args:
        model: a network of the catalogue, with whatever fields.
        variables: its variables.
        target: library whose names are wanted, one of `checkpoints.sources(model)`.

    Raises:
        UsageError: the family is not known under `target`.
    """
    return to_source(_table(model, target), traverse_util.flatten_dict(dict(variables)))


def sources(model: nn.Module) -> list[str]:
    """Libraries whose names for `model` are known."""
    known = []
    for source in _tables(model):
        try:
            _table(model, source)
        except UsageError:  # the family is known there, this network is not
            continue
        known.append(source)
    return known


def shared_names(model: nn.Module, tensors: Mapping[str, np.ndarray], source: str) -> int:
    """How many leaves of `model` have a tensor under the name that `source` gives them."""
    table = _table(model, source)
    names = set(renumbered(tensors, table.numbered).values())
    return sum(source_name(table, path)[0] in names for path in _shapes(model, table, tensors))


def head_size(model: nn.Module, tensors: Mapping[str, np.ndarray], source: str) -> int | None:
    """How many classes the tensors of a model like `model` tell apart; None without a head."""
    return _axis(_table(model, source), _HEAD, 1, tensors)


def input_channels(model: nn.Module, tensors: Mapping[str, np.ndarray], source: str) -> int:
    """Channels of the images that the tensors of a model like `model` expect."""
    table = _table(model, source)
    if table.example is not None:
        return table.example(tensors)[-1]
    return _channels(table, _initialised(model, _image(model, RGB)), tensors)


RGB = 3
_HEAD = ("params", "head", "kernel")


def _channels(table: Table, shapes: Mapping[Path, Shape], tensors: Mapping[str, np.ndarray]) -> int:
    """Channels of input, as the first convolution has them."""
    first = _first_convolution(shapes)
    return RGB if first is None else _axis(table, first, 2, tensors) or RGB


def _first_convolution(shapes: Mapping[Path, Shape]) -> Path | None:
    """Kernel of the convolution that reads RGB images."""
    kernels = (p for p, s in shapes.items() if p[-1] == "kernel" and len(s) == 4 and s[2] == RGB)
    return next(kernels, None)


def _axis(table: Table, path: Path, axis: int, tensors: Mapping[str, np.ndarray]) -> int | None:
    """Length of an axis of our leaf `path` in the source's tensor; None if there is no such."""
    names = {ours: theirs for theirs, ours in renumbered(tensors, table.numbered).items()}
    name, leaf = source_name(table, path)
    shape = tensors[names[name]].shape if name in names else ()
    place = axis if leaf.axes is None else leaf.axes.index(axis)
    return shape[place] if place < len(shape) else None


def ends(model: nn.Module, source: str) -> tuple[str | None, str | None]:
    """Names of the first convolution and of the classifier of a network of images, if it has them.

    Args:
        model: a network like the one that is meant.
        source: library whose names are wanted.
    """
    shapes, table = _initialised(model, _image(model, RGB)), _table(model, source)

    def name(path: Path | None) -> str | None:
        return source_name(table, path)[0].rpartition(table.separator)[0] if path else None

    return name(_first_convolution(shapes)), name(_HEAD if _HEAD in shapes else None)


def pooling(model: nn.Module) -> str:
    """What stands before the head of a network like `model`, in timm's words, as in "avg"."""
    return getattr(_names(model), "POOL", "avg")


def constructor_options(model: nn.Module, library: str) -> dict[str, Any]:
    """What a library's constructor of the same network takes, to build no more than it."""
    return dict(getattr(_names(model), "CONSTRUCTOR_OPTIONS", {}).get(library, {}))


def _tables(model: nn.Module) -> Mapping[str, Any]:
    """Tables of the model's family by library, and that of our own names."""
    found = getattr(_names(model), "TABLES", {})
    return {**found, own.NAME: lambda model: own.table(_reads_images(model, found))}


def _reads_images(model: nn.Module, tables: Mapping[str, Any]) -> bool:
    for table in tables.values():
        with contextlib.suppress(UsageError):  # the family is known there, this network is not
            if _resolved(table, model).example is not None:
                return False
    return True


def _resolved(table: Any, model: nn.Module) -> Table:
    return table if isinstance(table, Table) else table(model)


def _names(model: nn.Module) -> Any:
    """The module of this package that is for the family of a model; None if there is none."""
    module = f"{__name__}.{family_of(model)}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


def _table(model: nn.Module, source: str) -> Table:
    tables = _tables(model)
    if source not in tables:
        known = ", ".join(tables) or "none"
        family = family_of(model)
        raise UsageError(f"no names of {family} models are known for {source!r}; known: {known}")
    return _resolved(tables[source], model)


def _shapes(model: nn.Module, table: Table, tensors: Mapping[str, np.ndarray]) -> dict[Path, Shape]:
    """Shapes of every leaf, for inputs such as the tensors expect.

    Inputs are those that the model itself names, else those of the table, else an image.
    """
    if hasattr(model, "example_inputs"):
        return _initialised(model, *model.example_inputs())
    if table.example is not None:
        return _initialised(model, _batch_of_one(table.example(tensors)))
    shapes = _initialised(model, _image(model, RGB))
    channels = _channels(table, shapes, tensors)
    return shapes if channels == RGB else _initialised(model, _image(model, channels))


def _image(model: nn.Module, channels: int) -> jax.ShapeDtypeStruct:
    """An image; its side matters only to a model that has an `image_size`."""
    size = getattr(model, "image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    return _batch_of_one((height, width, channels))


def _batch_of_one(shape: Shape) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)


def _initialised(model: nn.Module, *inputs: jax.ShapeDtypeStruct) -> dict[Path, Shape]:
    tree = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), *inputs)
    leaves: dict[Path, Any] = traverse_util.flatten_dict(tree)
    return {path: leaf.shape for path, leaf in leaves.items()}
