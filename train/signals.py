"""Signals that ask a run to stop once it has saved its state."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A person who sends one of these again does not want to wait; the others come twice by themselves:
# from the shell and the kernel when a terminal closes, from a scheduler to each process of a job.
IMPATIENT = ("SIGINT", "SIGTERM")
STOP = (*IMPATIENT, "SIGHUP", "SIGUSR1")


class Interrupted(Exception):  # noqa: N818 (not an error: everything is saved)
    """A run that a signal of `STOP` asked to end, and that has saved its state."""

    def __init__(self, signal_number: int, step: int, directory: Path | Any):
        name = signal.Signals(signal_number).name
        super().__init__(f"{name}: saved step {step} in {directory}; continue it with --resume")
        self.signal_number = signal_number


@contextlib.contextmanager
def collected() -> Iterator[list[int]]:
    """Collects the signals of `STOP` in a list; a second SIGINT or SIGTERM acts at once, as usual.

    Signals that the process was started to ignore, as under nohup, stay ignored. Only the main
    thread hears of signals; in any other the list stays empty.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = [getattr(signal, name) for name in STOP if hasattr(signal, name)]  # not on Windows
    handlers = {number: signal.getsignal(number) for number in numbers}
    previous = {n: handler for n, handler in handlers.items() if handler is not signal.SIG_IGN}

    def note(number: int, frame: Any) -> None:
        if number in received and signal.Signals(number).name in IMPATIENT:
            signal.signal(number, previous[number])
            signal.raise_signal(number)
        received.append(number)

    for number in previous:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
