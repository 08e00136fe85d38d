"""What happens to a process whose peers are gone: it ends, says why and where the newest save is.

A collective operation waits for all processes, on TPUs forever. Here each of them gives a sign of
life every `BEAT` seconds through JAX's own coordination service, the first one listens to all of
them, and all listen to the first. JAX listens too: it ends a process at once, by SIGABRT, when the
coordinator's connection breaks, and after 100 seconds when another's signs do not come.
"""

import atexit
import concurrent.futures
import contextlib
import ctypes
import importlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax

from zoo.errors import UsageError

BEAT = 2.0  # seconds between signs of life
PATIENCE = 12.0  # seconds without one after which a process counts as gone
GRACE = 5.0  # seconds in which all may find the same error by themselves
STATUS = 1  # of a process that ends because another is gone

_sessions = itertools.count()


class Peers:
    """This process among those of its job.

    Attributes:
        newest: the newest save, in words.
    """

    def __init__(self, newest: Any):
        self.newest = newest
        self._client, self._session = _client(), f"zoo/peers/{next(_sessions)}"
        self._me, self._count = jax.process_index(), jax.process_count()
        self._over, self._lock = threading.Event(), threading.Lock()
        self._heard = {i: ("", time.monotonic()) for i in range(self._count)}
        self._lost = ""  # what this process ends for

    def saved(self, path: Any) -> None:
        """There is a newer save."""
        self.newest = path

    def tell(self, what: str) -> None:
        """Says something about this process to all; signs of life only while it is watched."""
        with self._lock:
            if not (what.isdecimal() and self._over.is_set()):
                key = f"{self._session}/{self._me}"
                self._client.key_value_set(key, what, allow_overwrite=True)

    def watch(self) -> None:
        """Gives signs of life and listens for those of others, until `close`."""
        with contextlib.suppress(RuntimeError):  # the interpreter is being taken down
            calls = concurrent.futures.ThreadPoolExecutor(1)
            for beat in itertools.count():
                if self._over.is_set():
                    return
                try:
                    lost = calls.submit(self._exchange, str(beat)).result(timeout=PATIENCE)
                except concurrent.futures.TimeoutError:
                    lost = "host 0 does not answer"
                except Exception as error:  # the service is gone, with the process that runs it
                    lost = f"host 0 is gone: {error}".split("\n")[0]
                if lost and not self._over.is_set():
                    self.end(lost)
                self._over.wait(BEAT)

    def _exchange(self, beat: str) -> str | None:
        """Gives a sign of life; what has happened to others, if anything has."""
        self.tell(beat)
        everyone = dict(self._client.key_value_dir_get(self._session)) if self._me == 0 else {}
        for i in range(1, self._count) if self._me == 0 else (0,):
            told = self._told(i, everyone)
            before, since = self._heard[i]
            if told != before:
                self._heard[i] = told, time.monotonic()
            if told.startswith("failed") and not self._over.wait(GRACE):
                return f"host {i} has stopped: {told.removeprefix('failed ')}"
            if told.startswith("lost"):
                return told.removeprefix("lost ")
            if told != "done" and time.monotonic() - since > PATIENCE and told == before:
                return f"host {i} of {self._count} has given no sign of life for {PATIENCE:.0f} s"
        return None

    def _told(self, i: int, everyone: dict[str, str]) -> str:
        key = f"{self._session}/{i}"
        if everyone:
            return everyone.get(key, "")
        with contextlib.suppress(Exception):  # it has not said anything yet
            return self._client.key_value_try_get(key)
        return ""

    def end(self, lost: str) -> NoReturn:
        """Ends this process at once, since what it waits for will not come."""
        self._lost = lost
        with contextlib.suppress(Exception):
            self.tell(f"lost {lost}")
        sys.stdout.flush()
        if self._me == 0:
            time.sleep(2 * BEAT)  # the others hear it from here
        self._say(lost)  # after all that JAX's own threads have to say
        os._exit(STATUS)

    def aborted(self, number: int) -> None:
        """The last words before JAX ends this process."""
        who = "host 0, or the way to it," if self._me else "another host"
        self._say(self._lost or f"{who} is gone")
        os._exit(STATUS)

    def failed(self, error: BaseException) -> None:
        """Another is told why this process leaves, unless it leaves because another has."""
        words = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in words:
            self._over.wait(PATIENCE + GRACE + 2 * BEAT)  # the watch learns whether another is gone
        with contextlib.suppress(Exception):
            self.tell(f"failed {words}"[:500])
        atexit.register(self._leave, 2 if isinstance(error, UsageError) else 1)

    def _leave(self, status: int) -> None:
        """Spares a process that failed alone the wait for the others, which do not come."""
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            told = dict(self._client.key_value_dir_get(self._session)).values()
            if len(told) == self._count and all(t.startswith(("failed", "done")) for t in told):
                return
            time.sleep(0.2)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def close(self) -> None:
        """Ends the watch."""
        self._over.set()

    def _say(self, lost: str) -> None:
        where = f"the newest save is {self.newest}" if self.newest else "nothing was saved yet"
        os.write(2, f"zoo: {lost}; {where}. Start all hosts again with --resume.\n".encode())


@contextlib.contextmanager
def watched(newest: Any) -> Iterator[Callable[[Any], None]]:
    """Ends this process with a sentence when another of its job is gone, within half a minute.

    Args:
        newest: the newest save there is, or None.

    Yields:
        What is to be called with every newer one.
    """
    if jax.process_count() == 1 or _client() is None:
        yield lambda path: None
        return
    peers = Peers(newest)
    threading.Thread(target=peers.watch, daemon=True).start()
    with _aborting(peers):
        try:
            yield peers.saved
        except Exception as error:
            if not hasattr(error, "signal_number"):  # of an interruption all have heard
                peers.failed(error)
            raise
        finally:
            peers.close()
    peers.tell("done")


@contextlib.contextmanager
def _aborting(peers: Peers) -> Iterator[None]:
    """Hears of SIGABRT, which comes from JAX's own threads and passes Python's handlers by."""
    if sys.platform == "win32":
        yield
        return
    libc = ctypes.CDLL(None)
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(peers.aborted)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    before = libc.signal(signal.SIGABRT, handler)
    try:
        yield
    finally:
        libc.signal(signal.SIGABRT, before)


def _client() -> Any:
    """JAX's client of the coordination service, for which it has no public name; None without."""
    state = getattr(importlib.import_module("jax._src.distributed"), "global_state", None)
    client = getattr(state, "client", None)
    needed = ("key_value_set", "key_value_try_get", "key_value_dir_get")
    return client if all(hasattr(client, name) for name in needed) else None
