"""Channels of a network that can be cut, with all entries of its variables that belong to each.

>>> found = channels(model, variables, images)
>>> kept = np.arange(found.size) % 2 == 0
>>> smaller = changed(model, found.widths(kept))
>>> smaller.apply(found.cut(variables, kept), images, train=False)
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from zoo.errors import UsageError
from zoo.parameters.labels import FIXED, Ties, fixed
from zoo.parameters.ties import traced

STAYS = -1  # in place of a channel's number
Axes = tuple[np.ndarray, ...]
Kept = Bool[Array, " n"] | Bool[np.ndarray, " n"] | Float[Array, " n"]


class Channels(NamedTuple):
    """The channels of a network that can be cut, numbered from 0.

    Channels that are added to one another are one: the stages of a residual network are cut
    together.

    Attributes:
        places: like `variables`; for each axis of a leaf the channel of each entry, or -1.
        outputs: by the path of a layer the channel of each of its outputs, or -1.
        group: of each channel; those of a group stand in the same axes.
        rank: of each channel in its group, from 0 to less than 1, in the order of the axes.
        depthwise: paths of layers that filter each channel alone.
    """

    places: Any
    outputs: dict[str, np.ndarray]
    group: np.ndarray
    rank: np.ndarray
    depthwise: frozenset[str]

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.group)

    def masked(self, variables: Any, kept: Kept) -> Any:
        """Variables of the same shapes, zero where a channel is not kept; differentiable.

        Args:
            variables: of the network, or its parameters alone.
            kept: for each channel, may be traced.
        """
        factors = jnp.append(jnp.asarray(kept, jnp.float32), 1.0)  # the last is for what stays
        return self._over(partial(_masked, factors=factors), variables)

    def cut(self, variables: Any, kept: Bool[np.ndarray, " n"]) -> Any:
        """Variables without the channels that are not kept."""
        whole = np.append(kept, True)
        return self._over(partial(_cut, kept=whole), variables)

    def widths(self, kept: Bool[np.ndarray, " n"]) -> dict[str, dict[str, int]]:
        """Sizes of the layers that lose some, as `zoo.parameters.widths` has them."""
        whole = np.append(kept, True)
        sizes: dict[str, dict[str, int]] = {}
        for path, axis in self.outputs.items():
            if not whole[axis].all():
                layer, name = _sized(path)
                both = (name, "groups") if path in self.depthwise else (name,)
                sizes.setdefault(layer, {}).update(dict.fromkeys(both, int(whole[axis].sum())))
        return sizes

    def numbers(self, kept: Bool[np.ndarray, " n"]) -> int:
        """How many numbers the variables have that are left."""
        whole = np.append(kept, True)
        leaves = jax.tree.leaves(self.places, is_leaf=_is_axes)
        return sum(math.prod(int(whole[axis].sum()) for axis in axes) for axes in leaves)

    def prefix(self, width: float | Float[Array, ""]) -> Bool[Array, " n"]:
        """The first channels of every group, at least one: a share of `width` of them."""
        return jnp.asarray(self.rank) < jnp.maximum(width, 1e-6) - 1e-6

    def _over(self, change: Callable[[Any, Axes], Any], variables: Any) -> Any:
        places = self.places if "params" in variables else self.places["params"]
        places = {name: places.get(name, {}) for name in variables}
        return jax.tree.map(lambda a, leaf: change(leaf, a), places, variables, is_leaf=_is_axes)


def channels(
    model: nn.Module, variables: Any, inputs: Float[Array, "..."] | jax.ShapeDtypeStruct
) -> Channels:
    """The channels of a network that can be cut without another layer's noticing.

    The network is traced, not run. Channels stay if they are those of the input or the output, or
    if something looks at all of them at once, as a layer norm or the heads of attention do.

    Args:
        model: module called as `model(inputs, train=False)`.
        variables: its variables, or their shapes.
        inputs: a batch, or its shape and dtype; values are never looked at.

    Raises:
        UsageError: there is none.
    """
    ties = Ties()
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), variables)
    leaves, tree = jax.tree.flatten(shapes)
    labels = [ties.fresh(leaf.shape) for leaf in leaves]
    spec = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
    depthwise: set[str] = set()
    with nn.intercept_methods(partial(_name_outputs, depthwise)):
        closed = jax.make_jaxpr(partial(model.apply, train=False))(shapes, spec)
    named = traced(closed, [*labels, tuple(map(fixed, spec.shape))], ties)
    number = _numbers(ties.roots(), np.unique(np.concatenate([*named.values(), fixed(1)])))
    places = [tuple(number[axis] for axis in axes) for axes in labels]
    count = int(number.max()) + 1
    if not count:
        raise UsageError(
            "no channels of this network can be cut: each is looked at with all others"
        )
    group, rank = _grouped([axis for axes in places for axis in axes], count)
    outputs = {path: number[axis] for path, axis in named.items()}
    tree_of = jax.tree.unflatten(tree, places)
    return Channels(tree_of, outputs, group, rank, frozenset(depthwise))


def _name_outputs(depthwise: set[str], call: Any, args: Any, kwargs: Any, context: Any) -> Any:
    """Gives what layers with a number of features return their path as a name in the program."""
    y, layer = call(*args, **kwargs), context.module
    features = getattr(layer, "features", None)
    if not isinstance(features, int) or context.method_name != "__call__":
        return y
    path = "/".join(layer.path)
    if features > 1 and getattr(layer, "groups", 1) == features:
        depthwise.add(path)
    return checkpoint_name(y, path) if hasattr(y, "shape") else y


def _sized(path: str) -> tuple[str, str]:
    """The layer, and which size of it, that the outputs at a path are: of two maps the first's."""
    layer, _, last = path.rpartition("/")
    return (layer, "rank") if last == "down" else (path, "features")


def _numbers(roots: np.ndarray, made: np.ndarray) -> np.ndarray:
    """The channel of every label; only what layers make can be cut. The last is for any label."""
    free = np.setdiff1d(roots[made[made > FIXED]], [FIXED])
    number = np.full(len(roots) + 1, STAYS)
    found = np.isin(roots, free)
    number[:-1][found] = np.searchsorted(free, roots[found])
    return number


def _grouped(axes: list[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Group and rank of each channel."""
    where: list[list[int]] = [[] for _ in range(count)]
    for n, axis in enumerate(axes):
        for channel in np.unique(axis[axis != STAYS]):
            where[channel].append(n)
    numbers: dict[tuple[int, ...], int] = {}
    group = np.array([numbers.setdefault(tuple(found), len(numbers)) for found in where])
    rank = np.zeros(count)
    for n in range(len(numbers)):
        members = np.flatnonzero(group == n)
        rank[members] = np.arange(len(members)) / len(members)
    return group, rank


def _is_axes(x: Any) -> bool:
    return isinstance(x, tuple)


def _masked(leaf: Any, axes: Axes, factors: Any) -> Any:
    for n, axis in enumerate(axes):
        if (axis != STAYS).any():
            leaf = leaf * jnp.expand_dims(factors[axis], [i for i in range(leaf.ndim) if i != n])
    return leaf


def _cut(leaf: Any, axes: Axes, kept: np.ndarray) -> Any:
    for n, axis in enumerate(axes):
        leaf = leaf[(slice(None),) * n + (kept[axis],)] if not kept[axis].all() else leaf
    return leaf
