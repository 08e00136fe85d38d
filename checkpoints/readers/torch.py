"""PyTorch's zip files, read without PyTorch.

    name/data.pkl     a pickle: names, shapes, strides, and which storage
    name/data/0       the bytes of storage 0, and so on
    name/byteorder    "little" or "big"

Only tensors, numbers, strings and plain containers of them are read; see `pickles`.
"""

import math
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from checkpoints.readers import archive, pickles, wrappers
from checkpoints.readers.pickles import Name, inert
from checkpoints.readers.wrappers import Contents
from zoo.errors import UsageError

STORAGE_DTYPES = {
    "Double": np.float64,
    "Float": np.float32,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
    "ComplexFloat": np.complex64,
    "ComplexDouble": np.complex128,
}
NAMED_DTYPES = {
    "torch.float64": np.float64,
    "torch.float32": np.float32,
    "torch.float16": np.float16,
    "torch.bfloat16": ml_dtypes.bfloat16,
    "torch.int64": np.int64,
    "torch.int32": np.int32,
    "torch.int16": np.int16,
    "torch.int8": np.int8,
    "torch.uint8": np.uint8,
    "torch.uint16": np.uint16,
    "torch.uint32": np.uint32,
    "torch.uint64": np.uint64,
    "torch.bool": np.bool_,
    "torch.complex64": np.complex64,
    "torch.complex128": np.complex128,
}


class Storage(NamedTuple):
    """A run of bytes in the file, of which several tensors may be views."""

    key: str
    dtype: np.dtype


class Tensor:
    """A view of a storage, in elements; nothing of it is read yet."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any):
        integers = [offset, *shape, *strides]
        if not isinstance(storage, Storage) or not all(type(n) is int for n in integers):
            raise ValueError("a tensor is not described by a storage and numbers")
        if min(integers) < 0 or len(shape) != len(strides) or len(shape) > 32:
            raise ValueError(f"a tensor has the shape {shape} and the strides {strides}")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides


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
    program = _member(file, f"{root}/data.pkl")
    found = wrappers.unwrap(pickles.loads(program, FUNCTIONS, _storage), Tensor)
    is_big = f"{root}/byteorder" in names and _member(file, f"{root}/byteorder") == b"big"
    load = _Storages(file, root, is_big)
    tensors = {name: _array(t, load(t.storage)) for name, t in found.tensors.items()}
    return Contents(tensors, found.notes)


class _Storages:
    """Reads every storage that is asked for once."""

    def __init__(self, file: zipfile.ZipFile, root: str, is_big: bool):
        self.file, self.root, self.is_big = file, root, is_big
        self.kept: dict[str, bytes] = {}

    def __call__(self, storage: Storage) -> np.ndarray:
        if storage.key not in self.kept:
            self.kept[storage.key] = _member(self.file, f"{self.root}/data/{storage.key}")
        data = self.kept[storage.key]
        if self.is_big and storage.dtype == ml_dtypes.bfloat16:
            raise UsageError("its bfloat16 numbers are big-endian, which is not supported.")
        usable = len(data) - len(data) % storage.dtype.itemsize
        stored = np.frombuffer(memoryview(data)[:usable], storage.dtype)
        return stored.byteswap() if self.is_big else stored


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    """A whole member; torch compresses none, so one that is compressed is a bomb or no weights."""
    info = file.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise UsageError(f"its part {name!r} is compressed, which torch never does.")
    return file.read(info)


def _array(tensor: Tensor, stored: np.ndarray) -> np.ndarray:
    """The view of its storage that a tensor is."""
    size = math.prod(tensor.shape)
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((n - 1) * stride for n, stride in steps)
    if size == 0:
        return np.zeros(tensor.shape, stored.dtype)
    if last >= stored.size or size > stored.size:
        raise ValueError(f"a tensor of shape {tensor.shape} reaches beyond its storage")
    strides = [stride * stored.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(stored[tensor.offset :], tensor.shape, strides)
    view.flags.writeable = False
    return view


def _storage(identifier: Any) -> Storage:
    kind, name, key, *_ = identifier
    if kind != "storage" or not isinstance(name, Name) or not isinstance(key, str):
        raise ValueError("a part of the file has no proper name")
    dtype = STORAGE_DTYPES.get(name.path.removeprefix("torch.").removesuffix("Storage"), np.uint8)
    return Storage(key, np.dtype(dtype))


def _rebuild(
    storage: Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> Tensor:
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_typed(
    storage: Storage,
    offset: int,
    shape: Sequence[int],
    strides: Sequence[int],
    requires_grad: bool,
    hooks: Any,
    dtype: Name,
    *_: Any,
) -> Tensor:
    storage = storage._replace(dtype=np.dtype(NAMED_DTYPES[dtype.path]))
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    return pickles.call(FUNCTIONS, function, arguments)


def _mapping(items: Sequence[tuple[Any, Any]] = ()) -> dict[Any, Any]:
    return {pickles.hashable(key): value for key, value in items}


def _not_callable(name: str, *_: Any) -> Any:
    raise ValueError(f"{name} is called")


NOUNS = (
    *(f"torch.{name}Storage" for name in STORAGE_DTYPES),
    *("torch.storage.UntypedStorage", "torch.storage._UntypedStorage"),
    *(*NAMED_DTYPES, "torch.Tensor", "torch.nn.parameter.Parameter"),
    *(f"{m}.{t}" for m in ("builtins", "__builtin__") for t in ("int", "long", "float", "list")),
)
FUNCTIONS: pickles.Functions = {
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": lambda *_: {},
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_tensor_v3": _rebuild_typed,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    **{noun: partial(_not_callable, noun) for noun in NOUNS},
    # Beside the weights of training runs; weights do not need what these would make.
    "argparse.Namespace": inert,
    "torch.device": inert,
    "_codecs.encode": inert,
    "numpy.dtype": inert,
    "numpy.core.multiarray.scalar": inert,
    "numpy._core.multiarray.scalar": inert,
}
