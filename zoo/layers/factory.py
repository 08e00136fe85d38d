"""Factories of layers: those that blocks are made of, and those that are equal to their copies."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, NoReturn

from jaxtyping import Array

from zoo.layers.activation import relu

ModuleFactory = Callable[..., Any]


def absent(*_: Any, **__: Any) -> NoReturn:
    """Stands for a layer that a network has none of."""
    raise TypeError("a block asks for a layer that its network has not put into its `Layers`")


class Layers(NamedTuple):
    """What the blocks of a network are made of, bound to one mode and dtype.

    A block takes its sizes and `layers`, and names what it makes: `layers.conv(64, (3, 3),
    name="conv1")(x)`. Where one block differs, `layers._replace(drop_path=...)`.

    Attributes:
        conv: factory of convolutions, called with features and kernel size.
        dense: factory of linear maps of the last axis, called with features.
        norm: factory of normalisations.
        activation: function of an array.
        pool: pooling of a map; its further arguments are the network's own.
        attention: factory of what weighs the channels of a map.
        shortcut: factory of what connects the ends of a block whose shapes differ.
        drop_path: factory of what leaves out a branch of the block.
    """

    conv: ModuleFactory = absent
    dense: ModuleFactory = absent
    norm: ModuleFactory = absent
    activation: Callable[[Array], Array] = relu
    pool: Callable[..., Array] = absent
    attention: ModuleFactory = absent
    shortcut: ModuleFactory = absent
    drop_path: ModuleFactory = absent


class Factory(partial):
    """A `functools.partial` that is equal to its copies, and so are networks that have one.

    A plain partial is equal to nothing but itself: a network that was copied or pickled would be
    another one, which `jax.jit` would compile again.
    """

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Factory) and _parts(self) == _parts(other)

    def __hash__(self) -> int:
        return hash(_parts(self))


def _parts(factory: Factory) -> tuple[Any, ...]:
    return factory.func, factory.args, frozenset(factory.keywords.items())
