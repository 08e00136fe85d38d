"""Files of tensors to NumPy arrays under the file's own names. No file is ever executed.

The format is known by the file's first bytes, whatever its name: safetensors, PyTorch's files
(`.pth`, `.pt`, `.bin`), NumPy's `.npz`, Keras's `.h5` and `.keras`; and the list of the parts of a
large model, `model.safetensors.index.json`. Whatever a file is, reading it takes no more than twice
its size and 64 MiB.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from checkpoints.readers import archive, keras, safetensors, shards, torch, wrappers
from checkpoints.readers.text import printable
from checkpoints.readers.wrappers import Contents
from zoo.errors import UsageError

__all__ = ["Contents", "check_is_file", "read", "read_contents"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All tensors of a file, as `read_contents` finds them.

    Raises:
        UsageError: no such file, another format, a damaged file, or one that carries code.
    """
    return read_contents(path).tensors


def read_contents(path: str | os.PathLike[str]) -> Contents:
    """All tensors of a file, in the file's order, and what stood around them.

    Of a training checkpoint only the weights are taken, the averaged ones (EMA) if there are any.
    Arrays may be read-only views of each other, as they are in the file.

    Args:
        path: a file, or the `.index.json` that lists the parts of a model beside it.

    Raises:
        UsageError: no such file, another format, a damaged file, or one that carries code.
    """
    path = Path(path)
    shards.refuse_part(path)
    found = shards.read(path, _raw) if path.name.endswith(shards.SUFFIX) else _raw(path)
    cleaned = wrappers.without_prefixes(found.tensors)
    return Contents(cleaned.tensors, (*found.notes, *cleaned.notes))


def check_is_file(path: Path) -> None:
    """Refuses what is no plain file, before anything waits for what a pipe or a device will say.

    Raises:
        UsageError: a directory, a pipe, a device, an empty file, or nothing.
    """
    if path.is_file() and path.stat().st_size:
        return
    if path.is_file():  # so are the system's own files, some of which are read without end
        raise UsageError(f"{str(path)!r} is no file of weights, or is damaged: it is empty.")
    if not path.exists():
        raise UsageError(f"There is no file of weights {str(path)!r}.")
    kind = "a directory" if path.is_dir() else "a pipe or a device"
    raise UsageError(f"{str(path)!r} is {kind} and no file of weights.")


def _raw(path: Path) -> Contents:
    """The tensors of one file under the names that stand there."""
    check_is_file(path)
    reader, name = _reader(path)
    try:
        contents = reader(path)
    except UsageError as error:
        raise UsageError(f"{str(path)!r}: {error}") from error
    except Exception as error:  # parsers of damaged files raise whatever they meet
        reason = printable(str(error) or type(error).__name__).rstrip(".")
        raise UsageError(f"{str(path)!r} is no {name} file or is damaged: {reason}.") from error
    if not contents.tensors:
        raise UsageError(f"{str(path)!r} holds no tensors.")
    return contents


def _reader(path: Path) -> tuple[Callable[[Path], Contents], str]:
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(_HDF5):
        return keras.read_h5, "HDF5"
    if start.startswith(_ZIP):
        return _read_zip, "zip"
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return safetensors.read, "safetensors"
    if start[:1] == b"\x80":
        return torch.read_legacy, "torch"
    if b"ustar" in start[257:263]:
        raise UsageError(
            f"{str(path)!r} is a tar file. If it is a torch file of before version 0.1.10, only "
            "PyTorch reads it: install the [reference] extra and write it anew with "
            "`torch.save(torch.load(old), new)`, where you trust it; else unpack it."
        )
    raise UsageError(
        f"{str(path)!r} is no file of weights, or is damaged; safetensors, torch (.pth, .pt, .bin),"
        " .npz and Keras (.h5, .keras) files are read."
    )


def _read_zip(path: Path) -> Contents:
    with archive.opened(path) as file:
        names = file.namelist()
        if "model.weights.h5" in names:
            return keras.read_keras(file, path)
        if any(name.endswith("/data.pkl") for name in names):
            return torch.read(file, path)
        return archive.read_npz(file, path)
