"""A run in a process of its own, which is started again where it was killed."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from train.signals import STOP

PAUSE = 1.0  # seconds before a new start, in which the system tidies up after the process


def supervised(
    command: Sequence[str],
    again: Sequence[str],
    restarts: int,
    newest: Callable[[], Any],
    say: Callable[[str], None],
) -> int:
    """Runs a program to its end, and again after each time that it was killed.

    A process that a signal killed (a lack of memory, a crash of compiled code) is started again,
    and one that failed by itself if it has saved since it was started: otherwise it would fail at
    the same place. What the user can mend (status 2, divergence among it) and what a signal asked
    to stop end the program for good. Signals that ask to stop are passed on.

    Args:
        command: of the first start.
        again: of every other one.
        restarts: how many there may be.
        newest: the newest save there is, or None.
        say: is told of every end that is followed by another start.

    Returns:
        The exit status: the process's own, or 128 and the number of the signal that killed it.
    """
    left = restarts
    while True:
        before = newest()
        status, stopped = _run(command)
        is_killed, is_failed = status < 0, status == 1 and newest() != before
        if stopped or not (is_killed or is_failed):
            break
        how = f"was killed by {_name(-status)}" if is_killed else "failed"
        where = newest() or "the beginning"
        if not left:
            say(f"the run {how}, and may not be started again; it goes on from {where} by --resume")
            break
        say(f"the run {how}; goes on from {where}, and {left - 1} times again if need be")
        time.sleep(PAUSE)
        command, left = again, left - 1
    return status if status >= 0 else 128 - status


def _run(command: Sequence[str]) -> tuple[int, bool]:
    """Exit status of a process, negative of one that was killed; and whether it was to stop."""
    # In a group of its own, or Ctrl-C in a terminal would reach it twice, which means impatience.
    process = subprocess.Popen(list(command), process_group=0)
    with _passed_on(process) as stopped:
        return process.wait(), bool(stopped)


@contextlib.contextmanager
def _passed_on(process: subprocess.Popen[Any]) -> Iterator[list[int]]:
    """Hands the signals of `STOP` on to a process, and collects them."""
    received: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        received.append(number)
        process.send_signal(number)

    numbers = [getattr(signal, name) for name in STOP]
    handlers = {number: signal.getsignal(number) for number in numbers}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _name(number: int) -> str:
    return signal.Signals(number).name
