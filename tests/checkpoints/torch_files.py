"""Writes torch's zip files without torch: a pickle of names, and one member a storage."""

import struct
import zipfile
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class View(NamedTuple):
    """A tensor: a view of a storage, in elements; wrapped in a Parameter if asked.

    `part` says of which part of a storage it is a view: a name, its start and its length.
    """

    key: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    parameter: bool = False
    part: tuple[str, int, int] | None = None


class Instance(NamedTuple):
    """An object of a class, made without arguments and given its fields."""

    path: str
    fields: dict[str, Any]


class Call(NamedTuple):
    """What a function returns."""

    path: str
    arguments: tuple[Any, ...]


def name(path: str) -> bytes:
    module, _, function = path.rpartition(".")
    return f"c{module}\n{function}\n".encode()


def dump(value: Any) -> bytes:
    """Operations of protocol 2 that put a value on the stack."""
    return b"N" if value is None else DUMPS[type(value)](value)


def dump_bool(value: bool) -> bytes:
    return b"\x88" if value else b"\x89"


def dump_int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if -(1 << 31) <= value < 1 << 31 else dump_long(value)


def dump_float(value: float) -> bytes:
    return b"G" + struct.pack(">d", value)


def dump_str(value: str) -> bytes:
    body = value.encode()
    return b"X" + struct.pack("<I", len(body)) + body


def dump_long(value: int) -> bytes:
    body = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(body)]) + body


def dump_instance(value: Instance) -> bytes:
    return name(value.path) + b")\x81" + dump(value.fields) + b"b"


def dump_call(value: Call) -> bytes:
    return name(value.path) + dump(value.arguments) + b"R"


def dump_tuple(value: tuple[Any, ...]) -> bytes:
    return b"(" + b"".join(map(dump, value)) + b"t"


def dump_list(value: list[Any]) -> bytes:
    return b"](" + b"".join(map(dump, value)) + b"e"


def dump_dict(value: dict[Any, Any]) -> bytes:
    items = b"".join(dump(k) + dump(v) for k, v in value.items())
    return name("collections.OrderedDict") + b")R(" + items + b"u"


def dump_view(view: View) -> bytes:
    storage = b"(" + dump("storage") + name(f"torch.{STORAGES[view.dtype]}")
    storage += (
        dump(view.key) + dump("cpu") + dump(1) + (dump(view.part) if view.part else b"") + b"tQ"
    )
    rest = dump(view.offset) + dump(view.shape) + dump(view.strides) + dump(False) + dump({})
    tensor = name("torch._utils._rebuild_tensor_v2") + b"(" + storage + rest + b"tR"
    if view.parameter:
        return name("torch._utils._rebuild_parameter") + b"(" + tensor + b"\x88" + dump({}) + b"tR"
    return tensor


DUMPS = {
    bool: dump_bool,
    int: dump_int,
    float: dump_float,
    str: dump_str,
    tuple: dump_tuple,
    list: dump_list,
    dict: dump_dict,
    View: dump_view,
    Instance: dump_instance,
    Call: dump_call,
}


def write(path, value, storages=None, byteorder="little", compression=zipfile.ZIP_STORED):
    """Writes `value`; arrays in it become tensors with storages of their own.

    Args:
        path: file to write.
        value: nested dictionaries of arrays, `View`s, numbers and strings; or a finished pickle.
        storages: bytes of the storages that `View`s name.
        byteorder: what the file says of its bytes; arrays are written accordingly.
        compression: of every member; torch stores them.
    """
    storages = dict(storages or {})
    order = ">" if byteorder == "big" else "<"
    program = value if isinstance(value, bytes) else dump(_views(value, storages, order))
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("x/data.pkl", b"\x80\x02" + program + b".")
        file.writestr("x/byteorder", byteorder)
        for key, body in storages.items():
            file.writestr(f"x/data/{key}", body)
        file.writestr("x/version", "3\n")
    return path


MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
MACHINE = {"protocol_version": 1001, "little_endian": True}


def write_legacy(path, value, storages=None, magic=MAGIC, version=1001, end=b""):
    """The same in the form of before version 1.6: pickles one after the other, then storages.

    Args:
        path: file to write.
        value: as in `write`; without finished pickles.
        storages: bytes of the storages that `View`s name; all are of four bytes a number.
        magic: the first pickle.
        version: the number in the second one.
        end: what follows the last storage.
    """
    storages, known = dict(storages or {}), {}
    views = _views(value, storages, "<")
    for view in _found(views):
        known[view.key] = np.dtype(view.dtype).itemsize
    keys = [key for key in storages if key in known]
    pickles = [dump(version), dump(MACHINE), dump(views), dump(keys)]
    body = magic + b"".join(b"\x80\x02" + program + b"." for program in pickles)
    for key in keys:
        body += struct.pack("<q", len(storages[key]) // known[key]) + storages[key]
    path.write_bytes(body + end)
    return path


def _found(value: Any) -> list[View]:
    if isinstance(value, View):
        return [value]
    return [v for inner in value.values() for v in _found(inner)] if isinstance(value, dict) else []


def _views(value: Any, storages: dict[str, bytes], order: str) -> Any:
    if isinstance(value, dict):
        return {k: _views(v, storages, order) for k, v in value.items()}
    if not isinstance(value, np.ndarray):
        return value
    key, array = f"a{len(storages)}", np.ascontiguousarray(value).reshape(value.shape)
    is_half = array.dtype == ml_dtypes.bfloat16
    storages[key] = (array if is_half else array.astype(array.dtype.newbyteorder(order))).tobytes()
    strides = tuple(s // array.itemsize for s in array.strides)
    return View(key, array.dtype.name, 0, array.shape, strides)
