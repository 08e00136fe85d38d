"""One network beside a peer: rows of a table, as CSV and as bars."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import zoo
from checkpoints import atomic
from train.bench.timing import Calls, Clock, Times, alternate
from zoo.errors import UsageError

COLUMNS = ("network", "kind", "batch", "dtype", "device", "repeats")
FIGURES = ("seconds", "spread", "compile_seconds", "memory")
COLUMNS += (*FIGURES, "against", *(f"peer_{name}" for name in FIGURES), "speed")


def batch_of(name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Made-up examples of a network and their classes."""
    info, random = zoo.model_info(name), np.random.default_rng(0)
    images = random.normal(size=(size, *info.input_shape)).astype(np.float32)
    return images, random.integers(0, info.num_classes, size).astype(np.int32)


def compare(
    mine: Calls, theirs: Calls | None, repeats: int, clock: Clock = time.perf_counter
) -> dict[str, dict[str, Any]]:
    """Figures of a forward pass and of a step, ours and, if there is one, the peer's.

    Args:
        mine: this project's network.
        theirs: the peer's, or None.
        repeats: turns of each.
        clock: in seconds.

    Returns:
        By kind; `speed` is above 1 where ours is the faster one.
    """
    return {
        kind: _figures(alternate([c for c in pair if c is not None], repeats, clock))
        for kind in Calls._fields
        for pair in [(getattr(mine, kind), theirs and getattr(theirs, kind))]
    }


def _figures(times: Sequence[Times]) -> dict[str, Any]:
    found: dict[str, Any] = dict(zip(FIGURES, times[0], strict=True))
    if len(times) > 1:
        found |= {f"peer_{name}": v for name, v in zip(FIGURES, times[1], strict=True)}
        found["speed"] = times[1].median / times[0].median
    return found


def rows_of(
    name: str, figures: dict[str, dict[str, Any]], *, against: str | None, **facts: Any
) -> list[dict[str, Any]]:
    """A row of the table for each kind of work."""
    common = {"network": name, "against": against, "device": jax.devices()[0].device_kind, **facts}
    return [common | {"kind": kind} | found for kind, found in figures.items()]


def write_csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The table with a line of names; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic.write_text(path, text.getvalue())


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Bars of the medians, and the distance of the quartiles as a line on each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.6 * len(rows)), layout="constrained")
    axes, places = figure.subplots(), np.arange(len(rows))
    sides = {"ours": "", **{row["against"]: "peer_" for row in rows if row["against"]}}
    height = 0.8 / len(sides)
    for i, (label, prefix) in enumerate(sides.items()):
        bars = [(row.get(f"{prefix}seconds"), row.get(f"{prefix}spread")) for row in rows]
        values = np.array([[v or 0.0, (v or 0.0) * (s or 0.0) / 2] for v, s in bars])
        axes.barh(places + i * height, values[:, 0], height, xerr=values[:, 1], label=label)
    axes.set_yticks(places + 0.4 - height / 2, [f"{r['network']}\n{r['kind']}" for r in rows])
    axes.set(xlabel=f"seconds a batch of {rows[0]['batch']}, {rows[0]['device']}")
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    if len(sides) > 1:
        axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120)
    atomic.write_bytes(path, picture.getvalue())


def check_repeats(repeats: int, batch_size: int) -> None:
    """Refuses numbers of which there is nothing to measure."""
    for name, value in {"repeats": repeats, "batch_size": batch_size}.items():
        if value < 1:
            raise UsageError(f"`{name}` must be positive, got {value}")
