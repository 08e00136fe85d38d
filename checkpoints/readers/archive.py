"""Zip files of arrays: members of declared and bounded size, and NumPy's `.npz`."""

import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from checkpoints.readers import wrappers
from checkpoints.readers.wrappers import Contents
from zoo.errors import UsageError

_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END, _LONGEST_END, _UNCOUNTED = b"PK\x05\x06", 22 + 65535, 65535  # of a zip file's directory
SLACK = 64 << 20  # bytes that any machine has


def check_size(declared: int, path: Path) -> None:
    """Refuses a file that claims to hold far more than it is long, as a zip bomb does.

    Raises:
        UsageError: `declared` bytes are more than twice the file's and 64 MiB.
    """
    size = path.stat().st_size
    if declared > most(size):
        raise UsageError(
            f"its {size:,} bytes claim to hold {declared:,}, which is not believed; if they do, "
            "write it anew without compression."
        )


def most(size: int) -> int:
    """What a file of some size may hold, in bytes."""
    return 2 * size + SLACK


def check_members(file: zipfile.ZipFile, path: Path) -> None:
    """Refuses an archive that claims far more than it is long, or whose directory is incomplete.

    Raises:
        UsageError: as said.
    """
    found = file.infolist()
    check_size(sum(member.file_size for member in found), path)
    with path.open("rb") as stream:
        stream.seek(-min(path.stat().st_size, _LONGEST_END), os.SEEK_END)
        end = stream.read()
    at = end.rfind(_END) + 10
    counted = int.from_bytes(end[at : at + 2], "little")
    if counted not in (len(found), _UNCOUNTED):
        raise UsageError(f"its directory lists {len(found)} parts and counts {counted}.")


def read_npz(file: zipfile.ZipFile, path: Path) -> Contents:
    """The arrays of an `.npz` file; pickled objects are refused.

    Raises:
        UsageError: a member is no array, or the file claims more than it can hold.
    """
    check_members(file, path)
    arrays = {m.filename.removesuffix(".npy"): _read_npy(file, m) for m in file.infolist()}
    return wrappers.without_prefixes(arrays)


def _read_npy(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if not member.filename.endswith(".npy") or member.compress_type not in _COMPRESSION:
        raise UsageError(
            f"a zip file of weights holds arrays as NumPy writes them, not {member.filename!r}."
        )
    with file.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0
        shape, is_fortran, dtype = (header if version == (1, 0) else _header_2_0)(stream)
        if dtype.hasobject:
            raise UsageError(f"{member.filename!r} holds Python objects, which may carry code.")
        data = stream.read()
    flat = np.frombuffer(data, dtype)  # its length is compared by `reshape`
    return flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)


def _header_2_0(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    return np.lib.format.read_array_header_2_0(stream)
