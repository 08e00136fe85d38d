"""A name with JSON arguments: how configs and command lines spell methods and augmentations."""

import dataclasses
import json
import re
from typing import Any

from zoo.errors import UsageError


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
