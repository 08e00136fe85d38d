"""Reads everything in an HDF5 file, in a process of its own: `python trial.py FILE BYTES`.

The C library that reads such files was not made for damaged ones: it may loop forever or take the
process with it. Whatever happens, it happens here first. Nothing else of the package is imported.
"""

import math
import sys
from typing import Any

import h5py


def main(path: str, most: str) -> None:
    """Looks at every part; one that claims more than `most` bytes is an error."""
    with h5py.File(path, "r") as file:
        look("", file, int(most))
        file.visititems(lambda name, item: look(name, item, int(most)))


def look(name: str, item: Any, most: int) -> None:
    """Reads the attributes of a part, and its numbers."""
    for key in item.attrs:
        attribute = item.attrs.get_id(key)
        if math.prod(attribute.shape) * attribute.dtype.itemsize > most:
            raise ValueError(f"attribute {key!r} of {name!r} claims more than the file can hold")
        item.attrs[key]
    if isinstance(item, h5py.Dataset) and item.size * item.dtype.itemsize <= most:
        item[()]


if __name__ == "__main__":
    main(*sys.argv[1:])
