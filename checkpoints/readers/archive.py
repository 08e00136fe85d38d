"""Zip files of arrays: members of declared and bounded size, and NumPy's `.npz`."""

import io
import math
import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from checkpoints.readers.wrappers import Contents
from zoo.errors import UsageError

_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# The end of a zip file: its list's record, and before it, in long files, one of larger numbers.
_END, _LOCATOR, _END_64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_LENGTH, _LOCATOR_LENGTH, _END_64_LENGTH = 22, 20, 56
_LONGEST_END = _END_LENGTH + 65535 + _LOCATOR_LENGTH + _END_64_LENGTH
_ENTRY, _ENTRY_TAKES = 46, 1024  # bytes of a part's entry in the file, and in memory
_PIECE = 1 << 20
_HEADER = 1 << 16  # bytes in which the description of an array ends
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


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file whose list of parts is complete and of believable length.

    Raises:
        UsageError: it is not.
    """
    count, length = _listed(path)
    check_size(max(count, length // _ENTRY) * _ENTRY_TAKES, path)
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        if count != len(names):
            raise UsageError(f"its directory lists {len(names)} parts and counts {count}.")
        if len(set(names)) != len(names):
            raise UsageError("its directory lists a part twice.")
        yield file


def _listed(path: Path) -> tuple[int, int]:
    """How many parts the end of a zip file counts, and how many bytes list them."""
    with path.open("rb") as stream:
        stream.seek(-min(path.stat().st_size, _LONGEST_END), os.SEEK_END)
        end = stream.read()
    has_no_comment = end[-_END_LENGTH:].startswith(_END) and end.endswith(b"\0\0")
    at = len(end) - _END_LENGTH if has_no_comment else end.rfind(_END)
    if at < 0:
        raise ValueError("its end is missing")
    if not end[:at][-_LOCATOR_LENGTH:].startswith(_LOCATOR):
        return struct.unpack_from("<HI", end, at + 10)
    at -= _LOCATOR_LENGTH + _END_64_LENGTH
    if end[at : at + 4] != _END_64:
        raise ValueError("its end is damaged")
    return struct.unpack_from("<QQ", end, at + 32)


def check_members(file: zipfile.ZipFile, path: Path) -> None:
    """Refuses an archive that claims far more than it is long.

    Raises:
        UsageError: as said.
    """
    check_size(sum(member.file_size for member in file.infolist()), path)


def body(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytearray:
    """A member's content, which is of the size that it claims and no more.

    Raises:
        ValueError: it is shorter.
    """
    data, read = bytearray(member.file_size), 0
    with file.open(member) as stream:
        # In pieces: whatever a part inflates to, no more than a piece of it is ever made.
        while piece := stream.read(_PIECE):
            data[read : read + len(piece)] = piece
            read += len(piece)
    if read != member.file_size or read != len(data):
        raise ValueError(f"its part {member.filename!r} is not as long as it claims")
    return data


def read_npz(file: zipfile.ZipFile, path: Path) -> Contents:
    """The arrays of an `.npz` file; pickled objects are refused.

    Raises:
        UsageError: a member is no array, or the file claims more than it can hold.
    """
    check_members(file, path)
    arrays = {m.filename.removesuffix(".npy"): _read_npy(file, m) for m in file.infolist()}
    return Contents(arrays, ())


def _read_npy(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if not member.filename.endswith(".npy") or member.compress_type not in _COMPRESSION:
        raise UsageError(
            f"a zip file of weights holds arrays as NumPy writes them, not {member.filename!r}."
        )
    data = body(file, member)
    start = io.BytesIO(data[:_HEADER])
    version = np.lib.format.read_magic(start)
    form = np.lib.format
    header = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
    shape, is_fortran, dtype = header(start)
    if dtype.hasobject:
        raise UsageError(f"{member.filename!r} holds Python objects, which may carry code.")
    if dtype.kind not in "biufc":
        raise UsageError(f"{member.filename!r} holds {dtype}, which is no type of numbers.")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data) - start.tell():
        raise ValueError(f"{member.filename!r} is of another size than its shape")
    flat = np.frombuffer(data, dtype, offset=start.tell())
    return flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)
