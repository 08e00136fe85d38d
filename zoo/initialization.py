"""Variables of a model without compiling it."""

import math
import zlib
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float, Int, Key

from zoo.layers.initializers import Recipe, recording

CHUNK = 1 << 18  # numbers drawn by one call of the one compiled kernel


def init_variables(
    model: nn.Module,
    key: Key[Array, ""],
    images: Float[Array, "..."] | np.ndarray | jax.ShapeDtypeStruct,
    *,
    below: str = "",
) -> dict[str, Any]:
    """The tree and distributions of `model.init(key, images, train=False)`, several times sooner.

    The network is only traced, to learn the shape and initialiser of every leaf; the numbers come
    from one kernel whose shape does not depend on the model, under a key folded with the leaf's
    path. They are therefore *not* the numbers of `model.init`, but a leaf keeps its numbers when
    other parts of the model change.

    Args:
        model: a module called as `model(images, train=...)`.
        key: typed random key.
        images: a batch, or its shape and dtype; values are never looked at.
        below: path of the part that is drawn, as in `"params/head"`; leaves elsewhere come back
            as `jax.ShapeDtypeStruct`.

    Returns:
        Nested dictionaries of device arrays, `{"params": ..., "batch_stats": ...}`.

    Raises:
        TypeError: a parameter has an initialiser that is not `zoo.layers.initializers` data.
    """
    spec = jax.ShapeDtypeStruct(images.shape, images.dtype)
    with recording():
        boxes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), spec)
    leaves = traverse_util.flatten_dict(boxes, is_leaf=lambda _, x: isinstance(x, Recipe))
    wanted = tuple(filter(None, below.split("/")))
    drawn = {
        path: _draw(key, path, recipe) if path[: len(wanted)] == wanted else _shape(recipe)
        for path, recipe in leaves.items()
    }
    return traverse_util.unflatten_dict(drawn)


def _shape(recipe: Any) -> jax.ShapeDtypeStruct:
    value = recipe.value if isinstance(recipe, Recipe) else recipe
    return jax.ShapeDtypeStruct(value.shape, value.dtype)


def _draw(key: Key[Array, ""], path: tuple[str, ...], recipe: Any) -> Array:
    if not isinstance(recipe, Recipe):
        raise TypeError(
            f"{'/'.join(path)} has no `zoo.layers.initializers` initialiser; use `model.init`."
        )
    shape, dtype, init = recipe.value.shape, recipe.value.dtype, recipe.initializer
    if init.noise == "none":
        return jax.device_put(np.full(shape, init.mean, dtype))
    key = jax.random.fold_in(key, zlib.crc32("/".join(path).encode()))
    size = math.prod(shape)
    chunks = [_NOISE[init.noise](key, i) for i in range(-(-size // CHUNK))]
    flat = np.concatenate([np.asarray(c) for c in chunks])[:size]
    scale = np.float32(init.scale(recipe.shape))
    mean = np.asarray(init.mean, np.float32)
    return jax.device_put((mean + scale * flat.reshape(shape)).astype(dtype))


@jax.jit
def _normal(key: Key[Array, ""], chunk: int | Int[Array, ""]) -> Array:
    return jax.random.normal(jax.random.fold_in(key, chunk), (CHUNK,), jnp.float32)


@jax.jit
def _uniform(key: Key[Array, ""], chunk: int | Int[Array, ""]) -> Array:
    return jax.random.uniform(jax.random.fold_in(key, chunk), (CHUNK,), jnp.float32, -1.0, 1.0)


_NOISE = {"normal": _normal, "uniform": _uniform}
