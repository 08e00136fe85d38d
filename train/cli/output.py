"""What a command prints for other programs, and what for whoever called it wrongly."""

import contextlib
import json
import sys
from typing import Any, TextIO

from zoo.errors import printable


def emit_json(value: Any) -> None:
    """Prints a value as JSON on stdout, alone, for other programs to read."""
    print(json.dumps(value, indent=2, default=str))


def complain(name: str, message: str, status: int, stream: TextIO | None = None) -> int:
    """Says on stderr, or another stream, what ended a command; returns its exit status."""
    with contextlib.suppress(OSError):  # the terminal may be closed
        print(printable(f"zoo {name}: {message}"), file=stream or sys.stderr)
    return status
