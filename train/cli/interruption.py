"""Ctrl-C while a command runs."""

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator

from train.cli.output import complain


@contextlib.contextmanager
def interruptible(name: str) -> Iterator[None]:
    """Lets Ctrl-C end a command at once and for certain; a run in progress saves first instead.

    Python's own exception waits for compilers to return, gets lost where compiled code calls back,
    and threads of that code crash while Python is taken down. So the process leaves without it, and
    where Python is waiting itself, a thread that hears of the signal sees to that. Whatever is
    written appears whole or not at all, so that nothing needs to be tidied up.
    """
    once = threading.Lock()

    def leave(number: int, frame: types.FrameType | None) -> None:
        if once.acquire(blocking=False):
            said = "interrupted; nothing was lost that was reported saved"
            complain(name, said, 130, sys.__stderr__)  # also while `sys.stderr` is redirected
            os._exit(130)

    def wait() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGINT and signal.getsignal(signal.SIGINT) is leave:
                leave(signal.SIGINT, None)
        os.close(reader)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.signal(signal.SIGINT, leave)
    wakened = signal.set_wakeup_fd(writer)
    threading.Thread(target=wait, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakened)
        signal.signal(signal.SIGINT, before)
        os.close(writer)  # the thread reads the end of the pipe
