"""Values for the fields of a frozen class, checked against their annotations.

JSON knows lists only, and a module whose fields hold lists cannot be hashed; `frozen` makes tuples
of them. `misfit` says in what a value is not what an annotation asks for.
"""

import collections.abc
import dataclasses
import functools
import math
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from zoo.errors import UsageError, closest, shown
from zoo.layers.factory import Factory

_ORIGINS = {  # of generic annotations, by the class whose values they take
    collections.abc.Sequence: (list, tuple),
    tuple: (list, tuple),
    list: (list, tuple),
    dict: (dict,),
    collections.abc.Mapping: (Mapping,),
}
_SHARES = ("drop_path", "drop_rate", "dropout")  # endings of names of probabilities


def frozen(value: Any) -> Any:
    """The value with tuples in the place of lists, however deep; mappings stay as they are.

    A partial becomes a `Factory`, which is equal to its copies.
    """
    if type(value) is functools.partial:
        return Factory(value.func, *value.args, **value.keywords)
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) and _plain(value) else value


def is_deep(value: Any, most: int = 50) -> bool:
    """Whether lists and mappings lie in each other more than `most` times, as none of ours do."""
    if not isinstance(value, list | tuple | Mapping):
        return False
    inside = value.values() if isinstance(value, Mapping) else value
    return most == 0 or any(is_deep(part, most - 1) for part in inside)


def check_fields(kind: type, what: str, values: Mapping[str, Any]) -> None:
    """Refuses values that the fields of a module are not made for.

    Args:
        kind: class of the module.
        what: how a message calls it.
        values: by name of field.

    Raises:
        UsageError: no such field, a value of another type, a negative number of something, or a
            probability that is none.
    """
    hints = annotations(kind)
    fields = [f.name for f in dataclasses.fields(kind) if f.name not in ("parent", "name")]
    for name, value in values.items():
        if name not in fields:
            raise UsageError(
                f"{what} has no field {shown(name)}{closest(name, fields)}. "
                f"Fields: {', '.join(fields)}."
            )
        if wrong := _trouble(name, value, hints[name]):
            raise UsageError(f"`{name}` of {what} must be {wrong}, got {shown(value)}.")


def misfit(value: Any, annotation: Any) -> str | None:
    """What the annotation asks for, in words, if the value is none of it; None if it is.

    >>> misfit("x", int | None), misfit(3, int | None)
    ('an integer or None', None)
    """
    return None if _fits(value, annotation) else _words(annotation)


@functools.cache
def annotations(kind: type) -> dict[str, Any]:
    """Annotations of a class by name of field."""
    return typing.get_type_hints(kind)


def _trouble(name: str, value: Any, annotation: Any) -> str | None:
    if name == "dtype":
        return None if _is_inexact(value) else "the name of a floating-point dtype"
    if wrong := misfit(value, annotation):
        return wrong
    if name == "num_classes" and value == 0:
        return "at least 1, or None for pooled features"
    if _is_whole(value) and value < 0:
        return "at least 0"
    if name.endswith(_SHARES) and not 0 <= value < 1:
        return "at least 0 and below 1"
    return None


def _fits(value: Any, annotation: Any) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return True
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in arguments)
    if origin in _ORIGINS:
        return isinstance(value, _ORIGINS[origin]) and _fit(value, origin, arguments)
    if origin is collections.abc.Callable:
        return callable(value)
    if annotation is float:
        return isinstance(value, numbers.Real) and not _is_bool(value) and not math.isnan(value)
    if annotation is int:
        return _is_whole(value)
    if annotation is None or annotation is types.NoneType:
        return value is None
    return not isinstance(annotation, type) or isinstance(value, annotation)


def _fit(values: Any, origin: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether what a collection holds fits."""
    if origin in (dict, collections.abc.Mapping):
        pairs = values.items()
        return not arguments or all(
            _fits(k, arguments[0]) and _fits(v, arguments[1]) for k, v in pairs
        )
    if origin is tuple and arguments[-1] is not Ellipsis:
        return len(values) == len(arguments) and all(map(_fits, values, arguments))
    return all(_fits(value, arguments[0]) for value in values)


def _words(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_words, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)}: {', '.join(map(_words, arguments))}"
    if origin in (dict, collections.abc.Mapping):
        return "an object of values by name"
    if origin in _ORIGINS:
        return f"a list, each of it {_words(arguments[0])}"
    if origin is collections.abc.Callable:
        return "a callable, which only Python can give"
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    types.NoneType: "None",
}


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not _is_bool(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_inexact(value: Any) -> bool:
    try:
        return jnp.issubdtype(jnp.dtype(value), jnp.inexact)
    except TypeError:
        return False


def _plain(value: Any) -> bool:
    """Whether it is a list or a tuple and no named tuple."""
    return type(value) in (list, tuple)
