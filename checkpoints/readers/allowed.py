"""What a torch file may name: a table from names to what stands for them. Nothing is imported.

Only functions that describe tensors make something. Everything else that training scripts keep
beside their weights, paths, counters and arrays of settings, becomes `Inert`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from checkpoints.readers import pickles
from checkpoints.readers.pickles import Name, inert
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
    """A run of bytes in the file, of which several tensors may be views.

    Attributes:
        key: its name.
        dtype: of its numbers.
        start: of a part of a storage, the number at which it begins.
    """

    key: str
    dtype: np.dtype
    start: int = 0


class Tensor:
    """A view of a storage, in elements; nothing of it is read yet."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any):
        integers = [offset, *shape, *strides]
        if not isinstance(storage, Storage) or not all(type(n) is int for n in integers):
            raise ValueError("a tensor is not described by a storage and numbers")
        if min(integers) < 0 or len(shape) != len(strides) or len(shape) > 32:
            raise ValueError(f"a tensor has the shape {shape} and the strides {strides}")
        self.storage, self.shape, self.strides = storage, tuple(shape), tuple(strides)
        self.offset = offset + storage.start


def storage(identifier: Any) -> Storage:
    """The storage that a persistent identifier means: kind, type, key, device, length, part."""
    kind, name, key, _, _, *part = identifier
    if kind != "storage" or not isinstance(name, Name) or not isinstance(key, str):
        raise ValueError("a part of the file has no proper name")
    dtype = STORAGE_DTYPES.get(name.path.removeprefix("torch.").removesuffix("Storage"), np.uint8)
    start = part[0][1] if part and part[0] is not None else 0
    return Storage(key, np.dtype(dtype), start)


def _rebuild(
    storage: Storage,
    offset: int,
    shape: Sequence[int],
    strides: Sequence[int],
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    if metadata:
        raise UsageError("one of its tensors is conjugated or negated when it is used.")
    return Tensor(storage, offset, shape, strides)


def _rebuild_typed(
    storage: Storage,
    offset: int,
    shape: Sequence[int],
    strides: Sequence[int],
    requires_grad: Any,
    hooks: Any,
    dtype: Name,
    metadata: Any = None,
) -> Tensor:
    storage = storage._replace(dtype=np.dtype(NAMED_DTYPES[dtype.path]))
    return _rebuild(storage, offset, shape, strides, metadata=metadata)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    if not isinstance(function, Name) or not function.path.startswith("torch._utils._rebuild_"):
        raise ValueError("a tensor is made by another function than those that make tensors")
    return pickles.call(FUNCTIONS, function, arguments)


def _mapping(items: Any = ()) -> dict[Any, Any]:
    pairs = items.items() if isinstance(items, dict) else items
    return {pickles.hashable(key): value for key, value in pairs}


def _not_callable(name: str, *_: Any) -> Any:
    raise ValueError(f"{name} is called")


NOUNS = (
    *(f"torch.{name}Storage" for name in STORAGE_DTYPES),
    *("torch.storage.UntypedStorage", "torch.storage._UntypedStorage"),
    *(*NAMED_DTYPES, "torch.Tensor", "torch.nn.parameter.Parameter"),
)
_BUILTINS = (
    *("int", "long", "float", "complex", "bool", "str", "unicode", "bytes", "bytearray", "object"),
    *("list", "tuple", "dict", "set", "frozenset", "slice", "range"),
)
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_NUMBERS = (
    *("bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128", "str_", "bytes_"),
)
# Beside the weights of training runs; weights do not need what these would make.
INERT = (
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *("collections.Counter", "collections.deque", "argparse.Namespace", "types.SimpleNamespace"),
    *("decimal.Decimal", "fractions.Fraction", "uuid.UUID", "typing.Any", "_codecs.encode"),
    *("copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__"),
    *("torch.device", "torch.torch_version.TorchVersion", "torch.serialization._get_layout"),
    *("numpy.dtype", "numpy.ndarray", "numpy.ma.core._mareconstruct", "numpy.ma.core.MaskedArray"),
    *(f"numpy.{name}" for name in _NUMBERS),
    *(
        f"numpy.{core}.{name}"
        for core in ("core", "_core")
        for name in ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")
    ),
    *(
        f"numpy.random._pickle.__{name}_ctor"
        for name in ("generator", "bit_generator", "randomstate")
    ),
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
    "numpy.random.bit_generator.SeedSequence",
    *(f"numpy.random._{name.lower()}.{name}" for name in ("MT19937", "PCG64", "Philox", "SFC64")),
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *("omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata"),
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "Boolean", "Bytes", "Float", "Integer", "Path", "String", "Enum")
    ),
    *("yacs.config.CfgNode", "fvcore.common.config.CfgNode", "easydict.EasyDict"),
    *("addict.addict.Dict", "mmcv.utils.config.ConfigDict", "mmengine.config.config.ConfigDict"),
    *("mmengine.logging.history_buffer.HistoryBuffer", "munch.Munch"),
    *("ml_collections.config_dict.config_dict.ConfigDict",),
    *("pytorch_lightning.utilities.parsing.AttributeDict",),
    *("lightning_fabric.utilities.data.AttributeDict",),
    *("lightning.fabric.utilities.data.AttributeDict",),
)
FUNCTIONS: pickles.Functions = {
    **dict.fromkeys(INERT, inert),
    **{noun: partial(_not_callable, noun) for noun in NOUNS},
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": lambda *_: {},
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_tensor_v3": _rebuild_typed,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
}
