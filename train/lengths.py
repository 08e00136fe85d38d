"""Parts of a run: as a share of it, in updates, or in passes over the data."""

import math
import re

from zoo.errors import UsageError

Length = float | str
FORM = "a share of the run below 1, or as in '500 steps' or '5 epochs'"


def updates(length: Length, name: str, *, steps: int, epoch: int) -> int:
    """How many updates a part of a run is.

    Args:
        length: 0.05 of the run, "500 steps" or "5 epochs"; the space may be left out.
        name: of the setting, for the error.
        steps: updates of the run.
        epoch: updates of a pass over the data.

    Raises:
        UsageError: `length` has none of these forms.

    >>> lengths = (0.1, "30steps", "2.5 epochs")
    >>> [updates(length, "warmup", steps=200, epoch=20) for length in lengths]
    [20, 30, 50]
    """
    number, unit = _parsed(length, name)
    return round(number * {"share": steps, "steps": 1, "epochs": epoch}[unit])


def check(length: Length, name: str) -> None:
    """Refuses what is no length.

    Raises:
        UsageError: as `updates`.
    """
    _parsed(length, name)


def _parsed(length: Length, name: str) -> tuple[float, str]:
    read = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(steps|epochs|)\s*", str(length))
    number, unit = (float(read[1]), read[2] or "share") if read else (math.nan, "share")
    if math.isnan(number) or (unit == "share" and number >= 1):
        raise UsageError(f"`{name}` must be {FORM}, got {length!r}")
    return number, unit
