"""Names with JSON arguments: read from a command line, looked up in a table and called."""

import dataclasses
import json
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

from zoo.errors import UsageError, closest


@dataclasses.dataclass(frozen=True)
class Call:
    """A method by its name, with JSON arguments; on the command line `mixup:alpha=0.2`."""

    name: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    @staticmethod
    def parsed(text: str) -> "Call":
        """Reads `NAME` or `NAME:ARGUMENT=VALUE,ARGUMENT=VALUE`; values are JSON, or else words."""
        name, _, rest = text.partition(":")
        given = re.split(r",(?=\w+=)", rest) if rest else []
        return Call(name, dict(assignment(word) for word in given))

    def __str__(self) -> str:
        given = ",".join(f"{name}={json.dumps(value)}" for name, value in self.arguments.items())
        return f"{self.name}:{given}" if given else self.name


def assignment(text: str) -> tuple[str, Any]:
    """Reads `NAME=VALUE`; the value is JSON, or else a word.

    Raises:
        UsageError: it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not name.isidentifier() or not equals:
        raise UsageError(f"{text!r} must be of the form NAME=VALUE, such as drop_path=0.1")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


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
