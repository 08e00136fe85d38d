"""Other libraries' tensors to our trees and back: one rename table per family."""

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

from checkpoints.convert.rules import Path, Shape, Table, from_source, to_source
from zoo.errors import UsageError

__all__ = ["export_weights", "import_weights"]


def import_weights(
    model: nn.Module, tensors: Mapping[str, np.ndarray], source: str = "timm"
) -> dict[str, Any]:
    """Variables of `model` from another library's tensors; strict in both directions.

    Args:
        model: the architecture, with as many classes as the tensors have.
        tensors: arrays under the source's own names. Their dtypes are kept.
        source: the library whose names they are, as in `"timm"` or `"torchvision"`.

    Returns:
        Nested dictionaries of NumPy arrays: views of `tensors` where the layout allows.

    Raises:
        UsageError: a tensor is missing, left over or of another shape (the whole difference is
            shown), or the family is not known under `source`.
    """
    table = _table(model, source)
    shapes = _shapes(model, _inputs(model, table, tensors))
    return traverse_util.unflatten_dict(from_source(table, shapes, tensors))


def export_weights(
    model: nn.Module, variables: Mapping[str, Any], target: str = "timm"
) -> dict[str, np.ndarray]:
    """The inverse of `import_weights`: names, layout and key order of the target library.

    Arrays are contiguous and keep their dtype. Counters of batches seen, which carry no weight
    and have no place in our trees, are written as zero.

    Raises:
        UsageError: the family is not known under `target`.
    """
    return to_source(_table(model, target), traverse_util.flatten_dict(dict(variables)))


def _table(model: nn.Module, source: str) -> Table:
    family = type(model).__module__.rpartition(".")[2]
    module = f"{__name__}.{family}"
    tables = importlib.import_module(module).TABLES if importlib.util.find_spec(module) else {}
    if source not in tables:
        known = ", ".join(tables) or "none"
        raise UsageError(f"no names of {family} models are known for {source!r}; known: {known}")
    table = tables[source]
    return table if isinstance(table, Table) else table(model)


def _inputs(
    model: nn.Module, table: Table, tensors: Mapping[str, np.ndarray]
) -> tuple[jax.ShapeDtypeStruct, ...]:
    """What the model can be initialised with: its own word, the table's, or an RGB image."""
    own = getattr(model, "example_inputs", None)
    if own is not None:
        return own()
    shape = _image_shape(model) if table.example is None else table.example(tensors)
    return (jax.ShapeDtypeStruct((1, *shape), jnp.float32),)


def _image_shape(model: nn.Module) -> Shape:
    """An RGB image; its side matters only to a model that has an `image_size`."""
    size = getattr(model, "image_size", 224)
    return (size, size, 3) if isinstance(size, int) else (*size, 3)


def _shapes(model: nn.Module, inputs: tuple[jax.ShapeDtypeStruct, ...]) -> dict[Path, Shape]:
    """Shapes of every leaf of a model that reads such inputs."""
    tree = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), *inputs)
    leaves: dict[Path, Any] = traverse_util.flatten_dict(tree)
    return {path: leaf.shape for path, leaf in leaves.items()}
