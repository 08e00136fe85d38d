"""Curves of a run: curves.png."""

import io
from pathlib import Path
from typing import Any

from checkpoints import atomic
from train.metrics_log import Row
from zoo.errors import printable

QUALITY = {"map": "mean average precision", "rmse": "root mean squared error"}


def plot_curves(rows: list[Row], path: Path | Any, *, title: str) -> None:
    """Draws loss, accuracy and learning rate over steps into a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    quality = ("accuracy", {"training": "top1", **_evaluations(rows, "top1")})
    for name, title in QUALITY.items():
        if any(f"eval_{name}" in row for row in rows):
            quality = (title, _evaluations(rows, name))
    panels = (
        ("loss", {"training": "loss", **_evaluations(rows, "loss")}),
        quality,
        ("learning rate", {"": "learning_rate"}),
    )
    for axes, (name, curves) in zip(figure.subplots(1, 3), panels, strict=True):
        for label, column in curves.items():
            points = [(row["step"], row[column]) for row in rows if column in row]
            marker = "o" if label not in ("training", "") else None
            axes.plot(
                *zip(*points, strict=True) if points else ((), ()), marker=marker, label=label
            )
        axes.set(xlabel="step", title=name)
        axes.grid(alpha=0.3)
        if len(curves) > 1:
            axes.legend()
    figure.suptitle(printable(title), parse_math=False)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120)
    atomic.write_bytes(path, picture.getvalue())


def _evaluations(rows: list[Row], figure: str) -> dict[str, str]:
    """Columns of a figure of all evaluations, by what a legend calls them."""
    names = dict.fromkeys(name for row in rows for name in row if name.endswith(f"/{figure}"))
    return {"evaluation": f"eval_{figure}"} | {n.rpartition("/")[0]: n for n in names}
