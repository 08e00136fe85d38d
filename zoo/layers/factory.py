"""Factories that networks may have as fields."""

from functools import partial
from typing import Any


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
