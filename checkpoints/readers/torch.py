"""PyTorch's files, read without PyTorch: the zip files since version 1.6, and those of before.

    name/data.pkl     a pickle: names, shapes, strides, and which storage
    name/data/0       the bytes of storage 0, and so on
    name/byteorder    "little" or "big"

Before there were five pickles one after the other, of a magic number, a version, the machine, the
names and tensors, and the storages' names; then each storage, its length before its bytes. Only
tensors, numbers, strings and plain containers of them are read; see `allowed`.
"""

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from checkpoints.readers import allowed, archive, pickles, wrappers
from checkpoints.readers.allowed import Storage, Tensor
from checkpoints.readers.wrappers import Contents
from zoo.errors import UsageError

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
_COUNT = 8  # bytes of a storage's length


def read(file: zipfile.ZipFile, path: Path) -> Contents:
    """The tensors of the state dictionary in an open torch file.

    Raises:
        UsageError: the file carries code, or more than tensors, numbers and strings.
    """
    archive.check_members(file, path)
    names = file.namelist()
    root = min((n for n in names if n.endswith("/data.pkl")), key=len).removesuffix("/data.pkl")
    if any(name.startswith(f"{root}/code/") for name in names):
        raise UsageError(
            "it is a TorchScript program, which carries code; save the `state_dict()` instead."
        )
    program = io.BytesIO(_member(file, f"{root}/data.pkl"))
    value = pickles.loads(program, allowed.FUNCTIONS, allowed.storage, _budget(path))
    is_big = f"{root}/byteorder" in names and _member(file, f"{root}/byteorder") == b"big"
    return _contents(value, lambda key: _member(file, f"{root}/data/{key}"), path, is_big)


def read_legacy(path: Path) -> Contents:
    """The tensors of a torch file of before version 1.6.

    Raises:
        UsageError: another pickle, or what `read` raises.
    """
    dtypes: dict[str, np.dtype] = {}

    def storage(identifier: Any) -> Storage:
        found = allowed.storage(identifier)
        if dtypes.setdefault(found.key, found.dtype) != found.dtype:
            raise ValueError(f"the storage {found.key!r} has two types of numbers")
        return found

    budget = _budget(path)
    with path.open("rb") as file:

        def load() -> Any:
            return pickles.loads(file, allowed.FUNCTIONS, storage, budget)

        if load() != MAGIC:
            raise UsageError(
                "it is a pickle that `torch.save` has not written; save the `state_dict()` with "
                "`torch.save` or safetensors."
            )
        if (version := load()) != VERSION:
            raise UsageError(f"it is a torch file of version {str(version)[:20]}, not {VERSION}.")
        load()  # the machine; numbers are always little-endian
        value, keys = load(), load()
        places = _places(file, keys, dtypes, path.stat().st_size)

        def body(key: str) -> bytes:
            start, length = places[key]
            file.seek(start)
            return file.read(length)

        return _contents(value, body, path)


def _places(
    file: io.BufferedIOBase, keys: Any, dtypes: dict[str, np.dtype], size: int
) -> dict[str, tuple[int, int]]:
    """Where every storage begins, and how long it is, in bytes."""
    places, start = dict[str, tuple[int, int]](), file.tell()
    for key in keys:
        file.seek(start)
        count = int.from_bytes(file.read(_COUNT), "little", signed=True)
        length = count * dtypes[key].itemsize
        places[key] = (start + _COUNT, length)
        start += _COUNT + length
        if length < 0 or start > size:
            raise ValueError("its end is missing")
    if start != size:
        raise ValueError(f"{size - start:,} bytes follow its end")
    return places


def _contents(
    value: Any, body: Callable[[str], bytes | bytearray], path: Path, is_big: bool = False
) -> Contents:
    """The weights in what a pickle holds, with the bytes of their storages."""
    found = wrappers.unwrap(value, Tensor)
    sizes = (math.prod(t.shape) * t.storage.dtype.itemsize for t in found.tensors.values())
    archive.check_size(sum(sizes), path)  # an expanded tensor is larger than its storage
    kept: dict[str, bytes | bytearray] = {}
    arrays = {}
    for name, tensor in found.tensors.items():
        key = tensor.storage.key
        if key not in kept:
            kept[key] = body(key)
        arrays[name] = _array(tensor, kept[key], is_big)
    return Contents(arrays, found.notes)


def _array(tensor: Tensor, body: bytes | bytearray, is_big: bool) -> np.ndarray:
    """The view of its storage that a tensor is."""
    dtype = tensor.storage.dtype
    stored = np.frombuffer(memoryview(body)[: len(body) - len(body) % dtype.itemsize], dtype)
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, dtype)
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((n - 1) * stride for n, stride in steps)
    if last >= stored.size:
        raise ValueError(f"a tensor of shape {tensor.shape} reaches beyond its storage")
    if is_big and dtype == ml_dtypes.bfloat16:
        raise UsageError("its bfloat16 numbers are big-endian, which is not supported.")
    strides = [stride * dtype.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(stored[tensor.offset :], tensor.shape, strides)
    view.flags.writeable = False
    return view.byteswap() if is_big else view


def _budget(path: Path) -> pickles.Budget:
    """What the objects of a file may take; the arrays take as much as the file."""
    return pickles.Budget(archive.most(path.stat().st_size) - path.stat().st_size)


def _member(file: zipfile.ZipFile, name: str) -> bytearray:
    """A whole member; torch compresses none, so one that is compressed is a bomb or no weights."""
    info = file.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise UsageError(f"its part {name!r} is compressed, which torch never does.")
    return archive.body(file, info)
