"""Reads everything in an HDF5 file, in a process of its own: `python hdf5_trial.py FILE BYTES`.

The C library that reads such files was not made for damaged ones: it may loop forever, take the
process with it, or inflate a few bytes without end. Whatever happens, it happens here first, within
a limit on memory where the system has one. Nothing else of the package is imported.

Parts that lie elsewhere are refused before anything follows them: links to other places, numbers
kept in other files. The process then ends with the code `REFUSED` and one sentence.
"""

import contextlib
import math
import sys
from pathlib import Path
from typing import Any

import h5py

REFUSED = 3
_PAGE = 4096


def main(path: str, most: str) -> None:
    """Looks at every part and keeps all numbers, as a reader would, in at most `most` bytes."""
    limit_memory(int(most))
    links, kept, left = dict[str, Any](), list[Any](), int(most)
    with h5py.File(path, "r") as file:
        file.visititems_links(links.__setitem__)
        for name, link in links.items():
            if not isinstance(link, h5py.HardLink):
                refuse(f"its part {name!r} is a link to another place, or lies in another file.")
        for name in ["/", *links]:
            left = look(name, file[name], left)
        for item in map(file.get, links):
            if isinstance(item, h5py.Dataset) and not item.dtype.hasobject:
                kept.append(item[()])


def limit_memory(most: int) -> None:
    """Lets this process take no more than it has now and `most` bytes."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limit on this system
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * _PAGE + most
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def look(name: str, item: Any, left: int) -> int:
    """Reads the attributes of a part, and counts its numbers; returns how many bytes are left."""
    for key in item.attrs:
        attribute = item.attrs.get_id(key)
        left = take(f"{name}@{key}", math.prod(attribute.shape) * attribute.dtype.itemsize, left)
        item.attrs[key]
    if not isinstance(item, h5py.Dataset):
        return left
    if item.external or item.is_virtual:
        refuse(f"its part {name!r} is no array of its own.")
    if item.chunks:
        take(name, math.prod(item.chunks) * item.dtype.itemsize, left)
    return take(name, item.size * item.dtype.itemsize, left)


def take(name: str, size: int, left: int) -> int:
    """What is left after a part has been counted."""
    if size > left:
        refuse(f"its parts claim to hold {size:,} bytes in {name!r}, which is not believed.")
    return left - size


def refuse(sentence: str) -> None:
    """Ends the process."""
    sys.stderr.write(sentence)
    sys.exit(REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
