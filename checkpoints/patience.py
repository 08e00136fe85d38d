"""How long a host may take to answer before it counts as unreachable."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")

SECONDS = 4.0


def in_time(ask: Callable[[], T]) -> T:
    """What a function returns or raises, or a `TimeoutError` after `SECONDS`.

    A client's own limit holds for one address; names have several and take time to be resolved.
    """
    answers: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        answer, error = answers.get(timeout=SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {SECONDS:g} seconds") from None
    if error is not None:
        raise error
    return cast(T, answer)
