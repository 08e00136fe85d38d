"""Where the records of a file lie, found once and kept.

An index is a table of offsets and lengths: a row for each record, a column for each field. It is
kept below `$XDG_CACHE_HOME/jax-functional-zoo/data` (`~/.cache` if that is not set) under the
file's path, size and time, and made anew when one of these changes.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from checkpoints import atomic
from train.data.mirror import cache


class Index(NamedTuple):
    """Pieces of a file.

    Attributes:
        fields: their names, (f,).
        offsets: in bytes, (n, f); -1 where a record has no such field.
        lengths: in bytes, (n, f).
    """

    fields: np.ndarray
    offsets: Int64[np.ndarray, "n f"]
    lengths: Int64[np.ndarray, "n f"]


def index_of(path: pathlib.Path, scan: Callable[[pathlib.Path], Index]) -> Index:
    """The index of a file, as it was kept, or as `scan` finds it."""
    kept = place(path, "npz")
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            return Index(*(arrays[name] for name in Index._fields))
    except (OSError, ValueError, KeyError):
        found = scan(path)
    write(kept, lambda file: np.savez(file, **found._asdict()))
    return found


def place(path: pathlib.Path, ending: str) -> pathlib.Path:
    """The file of the cache for what is made of a file as it is now."""
    facts = path.stat()
    told = repr((str(path.resolve()), facts.st_size, facts.st_mtime_ns))
    name = hashlib.blake2b(os.fsencode(told), digest_size=8).hexdigest()
    return cache() / f"{path.name}-{name}.{ending}"


def write(kept: pathlib.Path, into: Callable[[pathlib.Path], object]) -> None:
    """Writes a file of the cache, whole or not at all; a cache that cannot be written is none."""
    partial = atomic.partial_name(kept, atomic.this_process()).with_suffix(kept.suffix)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        into(partial)
        partial.replace(kept)
    except OSError:
        partial.unlink(missing_ok=True)


def pieces(path: pathlib.Path, index: Index, row: int) -> dict[str, bytes]:
    """The fields of one record.

    Raises:
        ValueError: the file ends before.
    """
    found = {}
    with path.open("rb", buffering=0) as file:
        for name, offset, length in zip(*(column(index, row) for column in COLUMNS), strict=True):
            if offset >= 0:
                found[str(name)] = os.pread(file.fileno(), int(length), int(offset))
                if len(found[str(name)]) < length:
                    raise ValueError("the file ends before")
    return found


COLUMNS = (lambda i, _: i.fields, lambda i, row: i.offsets[row], lambda i, row: i.lengths[row])
