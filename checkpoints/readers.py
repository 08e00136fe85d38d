"""Files of tensors to NumPy arrays under the file's own names. No file is ever executed."""

import os
from pathlib import Path

import numpy as np

from zoo.errors import UsageError


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All tensors of a `.safetensors` file, in the file's order.

    Raises:
        UsageError: no such file, another format, or a damaged file.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"There is no file of weights {str(path)!r}.")
    if path.suffix != ".safetensors":
        raise UsageError(
            f"{str(path)!r} has the suffix {path.suffix!r}; only .safetensors files are read."
        )
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.offset_keys()}
    except SafetensorError as error:
        raise UsageError(f"{str(path)!r} is no safetensors file or is damaged: {error}.") from error
