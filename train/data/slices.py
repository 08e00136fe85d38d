"""Splits as a user writes them: `train`, `train[:10%]`, `train[20:]+validation`."""

import re
from collections.abc import Callable, Sequence

from zoo.errors import UsageError

SPLITS = ("train", "validation", "val", "valid", "test")
VALIDATION = ("validation", "val", "valid")
_PIECE = re.compile(r"(?P<split>\w+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


def pieces(
    written: str, known: Sequence[str], length: Callable[[str], int], where: str
) -> list[tuple[str, slice]]:
    """The splits that are meant, and which part of each.

    Args:
        written: names of splits, each perhaps with a slice of examples or of per cent of them;
            several are joined by "+". "validation" may be called "val" or "valid" where it lies.
        known: names of the splits that there are.
        length: examples of one of them.
        where: begins an error message, as in "folder 'pets'".

    Raises:
        UsageError: there is no such split, or nothing in it.
    """
    found = [_piece(piece.strip(), known, length, where) for piece in written.split("+")]
    if not any(range(length(name))[part] for name, part in found):
        raise UsageError(
            f"split {written!r} of {where} holds no examples; add some, or choose another split"
        )
    return found


def _piece(
    piece: str, known: Sequence[str], length: Callable[[str], int], where: str
) -> tuple[str, slice]:
    match = _PIECE.fullmatch(piece)
    name = match["split"] if match else piece
    if name == "validation":
        name = next((n for n in VALIDATION if n in known), name)
    if match is None or name not in known:
        raise UsageError(
            f"{where} has no split {piece!r}; it has {', '.join(map(repr, known))}, slices "
            "of them such as 'train[:10%]', and sums such as 'train+test'"
        )
    start, stop = (_bound(match[end], length(name), piece) for end in ("start", "stop"))
    return name, slice(start, stop)


def _bound(text: str | None, length: int, written: str) -> int | None:
    """A bound of a slice, a number of examples or a share of them."""
    if text is None or not text.endswith("%"):
        return None if text is None else int(text)
    share = int(text[:-1])
    if abs(share) > 100:
        raise UsageError(f"a share of a split is at most 100%, got {text} in {written!r}")
    return round(share / 100 * length)
