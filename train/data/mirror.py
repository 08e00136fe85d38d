"""Data sets that lie in a bucket, copied to this machine once: reading them jumps about in files.

A copy is made anew when anything in the bucket has changed. It lies below
`$XDG_CACHE_HOME/jax-functional-zoo/data` (`~/.cache` if that is not set), for each host its own.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from checkpoints import atomic, paths, remote


def local(place: str | os.PathLike[str], below: str = "") -> Path:
    """A folder of this machine with what a place has: the place itself, if it is here.

    Args:
        place: a path, or an address such as `gs://bucket/data`.
        below: the only folder in it that is wanted, such as the name of a data set.

    Raises:
        UsageError: an address that cannot be reached.
    """
    found = paths.path(place)
    if not paths.is_remote(place):
        return found
    source = found / below
    versions = remote.versions(source)
    told = repr((os.fspath(source), sorted(versions.items())))
    name = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
    target = cache() / f"{found.name}-{name}"
    if versions and not target.exists():
        _fetch(source, versions, target, below)
    return target


def _fetch(source: Any, names: dict[str, str], target: Path, below: str) -> None:
    """Copies files into a folder that appears whole; another process may be faster."""
    partial = atomic.partial_name(target, atomic.this_process())
    atomic.remove_leftovers(target)
    try:
        remote.download(source, names, partial / below)
        if not target.exists():
            atomic.publish(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def cache() -> Path:
    """Where what is made of data sets is kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jax-functional-zoo" / "data"
