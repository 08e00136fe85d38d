"""Models that are kept in several files, with a list of what is where.

model.safetensors.index.json    {"weight_map": {"conv1.weight": "model-00001-of-00002...", ...}}
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkpoints.readers import archive, text
from checkpoints.readers.wrappers import Contents
from zoo.errors import UsageError

SUFFIX = ".index.json"
_PART = re.compile(r"(.+)-\d+-of-\d+\.(safetensors|bin|pt|pth)")
_LONGEST = 10 << 20


def read(path: Path, read_part: Callable[[Path], Contents]) -> Contents:
    """The tensors of all parts that a list names; they lie beside it.

    Args:
        path: the list.
        read_part: reads a file of tensors.

    Raises:
        UsageError: the list is damaged, a part is missing or lies elsewhere, or a part holds
            other tensors than the list says.
    """
    tensors: dict[str, Any] = {}
    parts = _parts(path)
    for part, listed in parts.items():
        if not (path.parent / part).exists():
            raise UsageError(f"{str(path)!r} lists {part!r}, which is not beside it; fetch it too.")
        found = read_part(path.parent / part).tensors
        if differing := sorted(listed ^ set(found)):
            raise UsageError(
                f"{str(path)!r} and {part!r} do not belong together: only one of them has "
                f"{differing[0][:200]!r}."
            )
        tensors |= found
    return Contents(tensors, (f"joined {len(parts)} files",))


def refuse_part(path: Path) -> None:
    """Refuses one part of several, if the list is there that says which the others are.

    Raises:
        UsageError: it is.
    """
    if _PART.fullmatch(path.name):
        stem, _, suffix = _PART.sub(r"\1 \2", path.name).partition(" ")
        whole = path.with_name(f"{stem}.{suffix}{SUFFIX}")
        if whole.is_file():
            raise UsageError(f"{str(path)!r} is one part of several; give {str(whole)!r}.")


def _parts(path: Path) -> dict[str, set[str]]:
    """Names of files with the names of their tensors."""
    size = path.stat().st_size
    if size > _LONGEST:
        raise UsageError(f"{str(path)!r} has {size:,} bytes, which no list of parts needs.")
    try:
        places = text.parsed(path.read_bytes(), archive.most(size))["weight_map"]
        if not places or not all(isinstance(part, str) for part in places.values()):
            raise ValueError("it names no parts")
    except UsageError as error:
        raise UsageError(f"{str(path)!r}: {error}") from error
    except Exception as error:  # whatever a damaged list holds
        raise UsageError(f"{str(path)!r} is no list of parts or is damaged: {error!r}.") from error
    parts: dict[str, set[str]] = {}
    for name, part in places.items():
        parts.setdefault(part, set()).add(name)
    for part in parts:
        if part != Path(part).name or "\\" in part or part in (".", "..", path.name):
            raise UsageError(f"{str(path)!r} lists {part[:200]!r}, which is no file beside it.")
    return parts
