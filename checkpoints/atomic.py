"""Directories and files that appear whole or not at all.

They are written under a hidden name beside their final one, flushed to the disk and renamed.
A process that is killed leaves the old content or the new, never a mixture and never neither.
"""

import ctypes
import errno
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

from checkpoints import paths, remote

# TensorStore raises a ValueError that ends with the system's words.
_FULL = ("No space left on device", "Disk quota exceeded")


def this_process() -> str:
    """Name of this process, unique on machines that share a file system."""
    return f"{socket.gethostname()}.{os.getpid()}"


def partial_name(target: Path, writer: str) -> Path:
    """Hidden sibling in which a writer, such as `this_process()`, prepares `target`."""
    return target.with_name(f".{target.name}.{writer}.partial")


def publish(partial: Path, target: Path) -> None:
    """Flushes a finished directory and gives it its name; what had that name before is deleted."""
    _flush(partial)
    if not target.exists() or not any(target.iterdir()):
        partial.rename(target)
    elif not _exchange(partial, target):
        target.rename(_replaced(target))
        partial.rename(target)
    _flush_entry(target.parent)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(_replaced(target), ignore_errors=True)


def write_bytes(path: Path | Any, content: bytes) -> None:
    """Gives a file this content; whoever reads it meanwhile, or after a kill, has the old one.

    At an address of a bucket an object is replaced whole in any case.
    """
    if not isinstance(path, Path):
        path.write_bytes(content)
        return
    partial = partial_name(path, this_process())
    try:
        partial.write_bytes(content)
        _flush_entry(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _flush_entry(path.parent)


def write_text(path: Path | Any, text: str) -> None:
    """`write_bytes` of text in UTF-8."""
    write_bytes(path, text.encode())


def located(directory: str | os.PathLike[str]) -> Path | Any:
    """The directory, or its old content if a process was killed between two renames."""
    place = paths.path(directory)
    if paths.is_remote(place):
        return place
    if not place.exists() and _replaced(place.absolute()).is_dir():
        return _replaced(place.absolute())
    return place


def remove_leftovers(target: Path | Any) -> None:
    """Deletes what killed processes of this machine have written towards `target`."""
    if not isinstance(target, Path):
        return  # an address: there is nothing half-written
    for path in target.parent.glob(f".{target.name}.{socket.gethostname()}.*.partial"):
        process = path.name.split(".")[-2]
        if process.isdecimal() and not is_alive(int(process)):
            _delete(path)


def trouble(error: Exception) -> str | None:
    """Why a file could not be written, in words for the user; None if the reason is another."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or any(words in str(error) for words in _FULL):
        return "no space left on the device; free some or choose another place"
    denied = isinstance(error, PermissionError | NotADirectoryError | FileExistsError)
    if denied or (isinstance(error, OSError) and error.errno == errno.EROFS):
        return f"{error.strerror}: {error.filename}"
    return remote.trouble(error)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _replaced(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced")


def _exchange(a: Path, b: Path) -> bool:
    """Swaps two directories in one step, where the system and the file system can (Linux)."""
    if sys.platform != "linux":
        return False
    at_cwd, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, see renameat2(2)
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    return renameat2(at_cwd, os.fsencode(a), at_cwd, os.fsencode(b), exchange) == 0


def is_alive(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _flush(directory: Path) -> None:
    for path in [*directory.rglob("*"), directory]:
        _flush_entry(path)


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
