"""How long a host may take to answer before it counts as unreachable.

The variables of the hub's client hold here too, so that a slow mirror is not an absent one:
`HF_HUB_ETAG_TIMEOUT` seconds for the first answer, `HF_HUB_DOWNLOAD_TIMEOUT` for each piece.
"""

import math
import os
import queue
import threading
from collections.abc import Callable
from typing import TypeVar, cast

from zoo.errors import UsageError

T = TypeVar("T")

SECONDS = 4.0
ANSWER, PIECE = "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"


def seconds(*variables: str) -> float:
    """The longest time that any of the variables says, else `SECONDS`.

    Raises:
        UsageError: a variable is no number of seconds.
    """
    return max((_parsed(name) for name in variables if os.environ.get(name)), default=SECONDS)


def in_time(ask: Callable[[], T], limit: float | None = None) -> T:
    """What a function returns or raises, or a `TimeoutError` after so many seconds.

    A client's own limit holds for one address; names have several and take time to be resolved.

    Args:
        ask: what is asked.
        limit: seconds; None for `seconds(ANSWER)`.
    """
    limit = seconds(ANSWER) if limit is None else limit
    answers: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        answer, error = answers.get(timeout=limit)
    except queue.Empty:
        answer, error = None, TimeoutError()
    if error is not None and _is_late(error):
        raise TimeoutError(
            f"no answer within {limit:g} seconds; if it is only slow, set {ANSWER} to more"
        ) from error
    if error is not None:
        raise error
    return cast(T, answer)


def _is_late(error: BaseException) -> bool:
    """Whether it is a timeout, ours or the one of a client, which has a class of its own."""
    return isinstance(error, TimeoutError) or "Timeout" in type(error).__name__


def _parsed(variable: str) -> float:
    text = os.environ[variable]
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise UsageError(f"{variable} must be a number of seconds, as in 30; got {text!r}.")
    return found
