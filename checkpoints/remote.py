"""What a bucket can do and a disk cannot, and the other way round.

`etils.epath` makes an address such as `gs://bucket/run` act like a path. What is more than one file
at a time, or hangs on what is atomic there (the writing of one object, not a rename), is here.
"""

import logging
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.errors import UsageError

_log = logging.getLogger(__name__)
LARGE = 100_000_000  # bytes of which a user wants to hear before they are copied


def sizes(directory: Any) -> dict[str, int]:
    """Bytes of every object below an address, by its name relative to that; one listing."""
    files, root = _opened(directory)
    found = files.find(root, detail=True)
    return {
        name.removeprefix(root).lstrip("/"): int(about["size"])
        for name, about in found.items()
        if not name.endswith("/")
    }


def versions(directory: Any) -> dict[str, str]:
    """What tells the content of every object below an address from an earlier or a later one."""
    files, root = _opened(directory)
    found = files.find(root, detail=True)
    return {
        name.removeprefix(root).lstrip("/"): f"{about['size']} {about.get('generation')}"
        for name, about in found.items()
        if not name.endswith("/")
    }


def create(path: Any, text: str) -> bool:
    """Writes an object unless there is one of that name; of several writers one alone succeeds."""
    files, name = _opened(path)
    try:
        files.pipe_file(name, text.encode(), mode="create")
    except FileExistsError:
        return False
    return True


def require_writable(directory: Any) -> None:
    """Writes an object below an address and deletes it again.

    Raises:
        UsageError: that is not possible, for whatever reason: no bucket, no access, no network.
    """
    probe = directory / f".probe-{uuid.uuid4().hex}"
    try:
        probe.write_text("")
        probe.unlink()
    except Exception as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "there is no such bucket" if missing else trouble(error) or error
        raise UsageError(
            f"{str(directory)!r} cannot be written: {reason}. Check the bucket's name and whether "
            "you may write to it, as with `gcloud auth application-default login`"
        ) from error


def download(source: Any, names: Iterable[str], target: Path) -> None:
    """Copies those of the named objects below `source` that exist into a local folder."""
    files, root = _opened(source)
    held = sizes(source)
    wanted = [name for name in names if name in held]
    if (size := sum(held[name] for name in wanted)) > LARGE:
        _log.info("copying %.1f GB from %s", size / 1e9, source)
    for name in wanted:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
    if wanted:
        files.get([f"{root}/{name}" for name in wanted], [str(target / name) for name in wanted])


def upload(source: Path, target: Any) -> None:
    """Copies all files of a local folder below `target`."""
    files, root = _opened(target)
    names = [p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()]
    files.put([str(source / name) for name in names], [f"{root}/{name}" for name in names])


def remove(directory: Any) -> None:
    """Deletes everything below an address; where nothing is, nothing happens."""
    files, root = _opened(directory)
    if names := list(files.find(root)):
        files.rm(names)


def trouble(error: BaseException) -> str | None:
    """Why a bucket could not be reached, in words for the user; None if the reason is another."""
    libraries = ("aiohttp", "gcsfs", "google", "requests")
    if type(error).__module__.partition(".")[0] in libraries or "Forbidden" in str(error):
        return " ".join(f"{str(error) or type(error).__name__}".split())
    return None


def _opened(address: Any) -> tuple[Any, str]:
    """The file system of an address and the name of its place there."""
    from fsspec.core import url_to_fs

    files, name = url_to_fs(str(address))
    return files, name.rstrip("/")
