"""Parameters in fewer bytes than four a number: what a card calls `stored_as`, and its undoing.

A form is a pair of pure functions of trees, both of which can be traced, so that shapes and bytes
of what is stored are known before there is anything to store:

    pack:   (params, **arguments) -> stored, a tree of arrays
    unpack: (stored, like, **arguments) -> params, where `like` has their shapes and dtypes

`FORMS` is the one table of them: a further form is a row.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp

from zoo.errors import UsageError
from zoo.parameters import point_codes, sparse, ternary
from zoo.parameters.interception import called
from zoo.parameters.select import paths

TOLERANCE = 1e-6  # of the largest number of a leaf, by which storing may change it


class Form(NamedTuple):
    """A pair of functions, see above."""

    pack: Callable[..., Any]
    unpack: Callable[..., Any]


FORMS: dict[str, Form] = {
    "ternary": Form(ternary.pack, ternary.unpack),
    "points": Form(point_codes.pack, point_codes.unpack),
    "sparse": Form(sparse.pack, sparse.unpack),
}


def packed(params: Any, stored_as: Mapping[str, Any] | None) -> Any:
    """Parameters in the form that a card names; as they are where it names none.

    Args:
        params: arrays, or shapes while they are traced.
        stored_as: `{"name": ..., "arguments": {...}}` of `FORMS`.

    Raises:
        UsageError: there is no such form, it takes no such arguments, or these parameters are not
            what it can hold.
    """
    if stored_as is None:
        return params
    stored = called(_functions("pack"), stored_as, "stored_as", params)
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(params)):
        _require_same(params, unpacked(stored, params, stored_as), stored_as)
    return stored


def unpacked(stored: Any, like: Any, stored_as: Mapping[str, Any] | None) -> Any:
    """The parameters that `packed` stored.

    Args:
        stored: what it returned.
        like: a tree of the parameters' shapes and dtypes.
        stored_as: as of `packed`.
    """
    if stored_as is None:
        return stored
    return called(_functions("unpack"), stored_as, "stored_as", stored, like)


def abstract(params: Any, stored_as: Mapping[str, Any] | None) -> Any:
    """Shapes and dtypes of what `packed` stores of parameters of these shapes."""
    return jax.eval_shape(functools.partial(packed, stored_as=stored_as), params)


def size(tree: Any) -> int:
    """Bytes of the numbers of a tree, of arrays or shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _functions(which: str) -> dict[str, Callable[..., Any]]:
    return {name: getattr(form, which) for name, form in FORMS.items()}


def _require_same(params: Any, again: Any, stored_as: Mapping[str, Any]) -> None:
    leaves = zip(paths(params), jax.tree.leaves(params), jax.tree.leaves(again), strict=True)
    for path, leaf, found in leaves:
        largest = float(jnp.abs(leaf).max(initial=0.0))
        if not float(jnp.abs(leaf - found).max(initial=0.0)) <= TOLERANCE * max(largest, 1e-30):
            raise UsageError(
                f"{path} cannot be stored as `stored_as` {stored_as['name']} says: it holds other "
                "numbers than that form has. Set `stored_as` of the card to None to store all of "
                "them, or compress the network again."
            )
