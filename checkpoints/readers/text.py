"""Text that comes with weights, where it is short and says everything once; and how to show it."""

import json
from typing import Any

from zoo.errors import UsageError

_SPREAD = 40  # bytes that one of the text may take as a value


def parsed(text: bytes | bytearray, most: int) -> Any:
    """The value of a text.

    Args:
        text: JSON in UTF-8.
        most: bytes that the value may take.

    Raises:
        UsageError: it may take more, is nested too deeply, or has a key twice.
        ValueError: it is no JSON.
    """
    if _SPREAD * len(text) > most:
        raise UsageError(
            f"its description of {len(text):,} bytes is too long to be believed; write it anew."
        )
    try:
        return json.loads(text.decode(), object_pairs_hook=_object)
    except RecursionError as error:
        raise UsageError("its description is nested too deeply.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"its description has {twice[:100]!r} twice.")
    return found


def printable(text: str, most: int = 300) -> str:
    """A text of a file on one line, cut short, without what a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])
