"""Safetensors files, whose header is believed only where it is short and says everything once.

8 bytes           length of the header
header            {"conv1.weight": {"dtype": "F32", "shape": [...], "data_offsets": [...]}, ...}
numbers           one tensor after the other, without gaps
"""

from pathlib import Path

from checkpoints.readers import archive, text
from checkpoints.readers.wrappers import Contents

_LENGTH = 8


def read(path: Path) -> Contents:
    """The tensors of a safetensors file, in the order of their numbers.

    Raises:
        UsageError: the header takes more memory than the file may, or names a tensor twice.
        Exception: the file is damaged.
    """
    from safetensors import safe_open

    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        if length > path.stat().st_size:
            raise ValueError(f"its header claims {length:,} bytes")
        text.parsed(file.read(length), archive.most(path.stat().st_size))
    with safe_open(path, framework="np") as tensors:
        found = {name: tensors.get_tensor(name) for name in tensors.offset_keys()}
    return Contents(found, ())
