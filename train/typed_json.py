"""JSON to frozen dataclasses, strictly: what a saved config is read with."""

import dataclasses
import types
import typing
from typing import Any, Literal

from zoo.errors import UsageError, closest


def from_json(kind: Any, value: Any, where: str) -> Any:
    """`value`, as JSON has it, as a `kind`.

    Args:
        kind: a dataclass, a union such as `X | None`, a `Literal`, `dict[str, X]`,
            `tuple[X, ...]`, `Any`, or a type of JSON itself.
        value: what `json.loads` gave of what `dataclasses.asdict` and `json.dumps` wrote. Fields
            may be missing that have defaults.
        where: begins an error message, such as the name of the file.

    Raises:
        UsageError: a value of another type, or a field that there is not.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    read: Any = value
    if dataclasses.is_dataclass(kind):
        read = _dataclass(kind, value, where)
    elif origin in (typing.Union, types.UnionType):
        member = next((k for k in inner if _fits(k, value)), None)
        _require(member is not None, kind, value, where)
        read = from_json(member, value, where)
    elif origin is Literal:
        _require(value in inner, kind, value, where)
    elif origin is dict:
        _require(isinstance(value, dict), kind, value, where)
        read = {k: from_json(inner[1], v, f"{where}: {k!r}") for k, v in value.items()}
    elif origin is tuple:
        _require(isinstance(value, list), kind, value, where)
        read = tuple(from_json(inner[0], v, where) for v in value)
    elif kind is float:
        _require(type(value) in (int, float), kind, value, where)
        read = float(value)
    elif kind is not Any:
        _require(type(value) is kind, kind, value, where)
    return read


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value of JSON is of the outermost type that a member of a union is written as."""
    origin = typing.get_origin(kind) or kind
    if dataclasses.is_dataclass(kind):
        origin = dict
    written: dict[Any, tuple[type, ...]] = {tuple: (list,), float: (int, float)}
    if origin is Literal:
        return value in typing.get_args(kind)
    return type(value) in written.get(origin, (origin,))


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    _require(isinstance(value, dict), kind, value, where)
    kinds = typing.get_type_hints(kind)
    for name in value.keys() - kinds.keys():
        raise UsageError(f"{where}: there is no {name!r}{closest(name, kinds)}")
    return kind(**{n: from_json(kinds[n], v, f"{where}: {n!r}") for n, v in value.items()})


def _require(met: bool, kind: Any, value: Any, where: str) -> None:
    if not met:
        name = str(kind) if typing.get_origin(kind) else kind.__name__
        raise UsageError(f"{where} must be {name.replace('typing.', '')}, got {value!r}")
