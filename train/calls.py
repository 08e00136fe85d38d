"""Names with arguments, looked up in a table and called."""

import typing
from collections.abc import Callable, Mapping
from typing import Any

from train.config import Call
from zoo.errors import UsageError, closest


def looked_up(call: Call, field: str, table: Mapping[str, Any]) -> Any:
    """What a table has under the name of a call.

    Raises:
        UsageError: nothing; the closest name is shown.
    """
    if call.name not in table:
        raise UsageError(
            f"`{field}` must name one of {', '.join(table)}; got {call.name!r}"
            f"{closest(call.name, table)}"
        )
    return table[call.name]


def made(make: Callable[..., Any], call: Call, *given: Any) -> Any:
    """What `make` makes of what is given and of the arguments of a call.

    Raises:
        UsageError: it takes no such arguments.
    """
    arguments = {name: _read(make, call, name) for name in call.arguments}
    try:
        return make(*given, **arguments)
    except TypeError as error:
        raise UsageError(f"`{call.name}` cannot take {call.arguments}: {error}") from error


def _read(make: Callable[..., Any], call: Call, name: str) -> Any:
    """An argument; JSON writes 1 for a number that may be 1.5."""
    value, kind = call.arguments[name], typing.get_type_hints(make).get(name)
    if kind not in (float, float | None) or value is None:
        return value
    if type(value) not in (int, float):
        raise UsageError(f"`{name}` of `{call.name}` must be a number, got {value!r}")
    return float(value)
