"""Whether a program fits into the memory that is free, before it starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from train.tabular.frames import label
from zoo.errors import UsageError

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
GIB = 2**30


def check_fits(
    needed: int | None, rows: int, sizes: Sequence[int], names: Sequence[Any] = ()
) -> None:
    """Raises a UsageError if training needs more bytes than are free.

    Args:
        needed: bytes; None if nobody knows.
        rows: of the table.
        sizes: values of each column in a row.
        names: of the columns, if they have any.
    """
    free = free_memory()
    if needed is None or free is None or needed <= free:
        return
    widest = max(range(len(sizes)), key=sizes.__getitem__)
    categories = (
        f" (no categorical column with as many values as {label(widest, names)}, {sizes[widest]})"
        if sizes[widest] > 1
        else ""
    )
    raise UsageError(
        f"`X` of {rows} rows and {len(sizes)} columns would take {needed / GIB:.1f} GiB to learn "
        f"from, and {free / GIB:.1f} GiB are free; give fewer rows or columns{categories}, or a "
        "smaller `width`, `depth` or number of `heads`"
    )


def bytes_of(program: Any) -> int | None:
    """What a compiled program takes: arguments, results and everything in between."""
    found = program.memory_analysis()
    if found is None:
        return None
    return found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes


def free_memory() -> int | None:
    """Free bytes of the device that JAX computes on; None if it does not say."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else limit - stats.get("bytes_in_use", 0)
    found = [int(text) for text in map(_read, LIMITS) if text.isdigit()]
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    return min(found, default=None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
