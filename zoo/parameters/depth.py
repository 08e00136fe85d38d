"""How deep each parameter of a network lies, from the order in which the network runs.

For rates that fall from layer to layer, and for training that begins at the head and goes back.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from zoo.layers.network import Network

Path = tuple[str, ...]


def depths(
    model: nn.Module, inputs: Float[Array, "..."] | np.ndarray | jax.ShapeDtypeStruct
) -> dict[str, Any]:
    """For every parameter the number of the layer that holds it: 0 at the input, most at the head.

    Layers are the modules that the network itself calls, stem, blocks and head, in the order of
    their first call. A module without a kernel, such as a norm, counts with the one before it;
    parameters of the network itself, such as class tokens and positions, with the first. A network
    inside a network, as the backbone of a decoder, is opened; a stack that `nn.scan` made is one
    layer. Nothing is computed: the network is only traced.

    Args:
        model: module called as `model(inputs, train=False)`.
        inputs: a batch, or its shape and dtype; values are never looked at.

    Returns:
        A tree like `params`, of integers.

    >>> model = zoo.create_model("resnet8")
    >>> found = depths(model, jnp.zeros((1, 8, 8, 1)))
    >>> found["stem"]["conv"]["kernel"], found["stage1_block0"]["norm1"]["scale"]
    (0, 1)
    >>> found["head"]["kernel"]
    4
    """
    spec = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
    with _layers_called() as called:
        variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), spec)
    params: dict[Any, Any] = flatten_dict(variables["params"])
    layers = dict.fromkeys(called)
    of = {path: _holder(path, layers) for path in params}
    numbers = _numbered(layers, {of[p] for p, leaf in params.items() if leaf.ndim > 1})
    return unflatten_dict({path: numbers[of[path]] for path in params})


def depth_of(depths: Any, path: Any) -> Any:
    """What `depths` has for a parameter, or for the one in whose place factors of it are trained.

    Args:
        depths: as `depths` returns it, or a tree of anything else in that form.
        path: of a leaf, as `jax.tree_util.tree_map_with_path` has it.
    """
    for entry in path:
        depths = depths[entry.key] if isinstance(depths, dict) else depths
    return depths


@contextmanager
def _layers_called() -> Iterator[list[Path]]:
    """Paths of the layers, in the order in which the network calls them, with repetitions."""
    called: list[Path] = []

    def watch(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if module.path and not isinstance(module, Network) and _is_open(module.parent):
            called.append(tuple(module.path))
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        yield called


def _is_open(module: Any) -> bool:
    """Whether what a module calls are layers: of the outermost one, and of networks inside it."""
    return not module.path or (isinstance(module, Network) and _is_open(module.parent))


def _holder(path: Path, layers: Mapping[Path, Any]) -> Path:
    """The layer with a parameter; () is the network itself."""
    starts = (path[:end] for end in range(1, len(path)))
    return next((start for start in starts if start in layers), ())


def _numbered(layers: Mapping[Path, Any], with_kernel: set[Path]) -> dict[Path, int]:
    """Numbers of the layers; those without a kernel have that of the layer before them."""
    numbers: dict[Path, int] = {(): 0}
    count = 0
    for layer in layers:
        count += layer in with_kernel
        numbers[layer] = max(count - 1, 0)
    return numbers
