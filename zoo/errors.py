"""The one exception that means "the caller can mend this", and the words it is written in."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any


class UsageError(ValueError):
    """A request that cannot be met as it stands.

    Its message names the argument, what is required, the value got, and the next step. The
    command line prints it as one sentence and exits with status 2; any other exception is a
    defect of ours and keeps its traceback.
    """


_LONGEST = 200
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


def shown(value: Any) -> str:
    """A value in a message: its `repr`, cut where it is long or deep."""
    return _REPR.repr(value)


def printable(text: str) -> str:
    """A text of somebody else's for a terminal: codes that would steer it are spelled out."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def closest(name: str, known: Iterable[str]) -> str:
    """Ending of an error message, `; did you mean 'a' or 'b'?`, or nothing if no name is near."""
    if len(name) > _LONGEST:  # comparing takes the square of the length
        return ""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
