"""One owner of a run directory at a time: a file in it that names the process.

On a disk of this machine the file is locked too (flock), and the system lets go of that lock when
the process ends, however it ends. Elsewhere (buckets, file systems without locks) what the file
says has to do; in a bucket it is created on the condition that there is none.
"""

import contextlib
import errno
import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkpoints import atomic, paths, remote
from zoo.errors import UsageError

NAME = ".owner.json"
_THIS_PROCESS = uuid.uuid4().hex  # tells a process from a later one of the same number


class Owner:
    """Makes this process the owner of a run directory until `release`.

    Args:
        directory: of the run; it exists.
        take_over: also where a process of another host is its owner.
        say: is told that the directory was taken over.

    Raises:
        UsageError: another process is the owner.
    """

    def __init__(
        self,
        directory: Path | Any,
        *,
        take_over: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ):
        self.directory, self._path = directory, directory / NAME
        self._me = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "process": _THIS_PROCESS,
            "run": uuid.uuid4().hex,
        }
        self._file, is_free = _locked(self._path)
        # Who holds the lock has nobody to wait for; who does not waits for the other's name.
        other = _read(self._path, 0.0 if is_free else 10.0) or ({} if is_free is False else None)
        if other is not None and (reason := self._refusal(other, is_free, take_over)):
            self._unlock()
            raise UsageError(reason)
        if is_free is False:  # the lock of another host: on a file that is replaced now
            self._unlock()
            self._path.unlink(missing_ok=True)
            self._file, _ = _locked(self._path)
        if other:
            say(f"taking {directory} over from {_described(other)}")
        self._write(other)
        self.check()

    def check(self) -> None:
        """Makes sure that the directory is still there, and still ours.

        Raises:
            UsageError: it is not.
        """
        now = _read(self._path)
        if now is None:
            raise UsageError(
                f"the run directory {self.directory} has been deleted or moved while the run was "
                "writing to it; begin again, or continue it with --resume where it lies now"
            )
        if now.get("run") != self._me["run"]:
            raise UsageError(f"{self.directory} was taken over by {_described(now)}")

    def release(self) -> None:
        """Lets another process be the owner."""
        if (_read(self._path) or {}).get("run") == self._me["run"]:
            self._path.unlink(missing_ok=True)
        self._unlock()

    def _write(self, gone: dict[str, Any] | None) -> None:
        text = json.dumps(self._me)
        if paths.is_remote(self._path):
            if gone:
                self._path.unlink(missing_ok=True)
            if not remote.create(self._path, text):
                now = _described(_read(self._path) or {})
                raise UsageError(f"`out` {self.directory} is in use by {now}: {_ELSE}")
        elif self._file is None:
            atomic.write_text(self._path, text)
        else:
            os.truncate(self._file, 0)
            os.write(self._file, text.encode())

    def _unlock(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _refusal(self, other: dict[str, Any], is_free: bool | None, take_over: bool) -> str:
        """Why the directory cannot be had from its owner; nothing if it can.

        Args:
            other: what the file says.
            is_free: whether its lock could be had, or None where there are no locks.
            take_over: as above.
        """
        who = f"`out` {self.directory} is in use by {_described(other)}"
        here = self._me["host"]
        if other.get("host", here) != here:
            gone = f"if that process is gone for certain, add --take-over; else {_ELSE}"
            return "" if take_over else f"{who}, which is not this host ({here}): {gone}"
        if is_free is None:
            ours = other.get("pid") == self._me["pid"]
            is_free = not atomic.is_alive(other["pid"])
            is_free |= ours and other.get("process") != _THIS_PROCESS
        return "" if is_free else f"{who}: wait for it or stop it, or {_ELSE}"


_ELSE = "choose another `out`"


def _described(owner: dict[str, Any]) -> str:
    return "process {} on {}, since {}".format(
        *(owner.get(name, "unknown") for name in ("pid", "host", "since"))
    )


def _read(path: Path | Any, seconds: float = 1.0) -> dict[str, Any] | None:
    """What the file of an owner says; None if there is no file, or nothing in it for so long."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = json.loads(path.read_text())
            return found if isinstance(found, dict) and isinstance(found.get("pid"), int) else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:  # it is being written, or its process was killed in that moment
            if time.monotonic() >= end:
                return None
            time.sleep(0.05)


def _locked(path: Path | Any) -> tuple[int | None, bool | None]:
    """The open file and whether we hold its lock; None and None where there are no locks."""
    if not isinstance(path, Path):
        return None, None
    try:
        import fcntl
    except ImportError:  # Windows
        return None, None
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return file, False
        except OSError as error:
            os.close(file)
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                return None, None
            raise
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file, True
        os.close(file)  # its owner has just deleted it
