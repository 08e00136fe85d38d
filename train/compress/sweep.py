"""All methods on one network: accuracy against bytes, trained and not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import checkpoints
from checkpoints import paths
from train.compress import compress
from train.compress.table import SWEPT
from train.data import Dataset
from train.honest.plots import write
from train.report import FIGURES
from zoo.errors import UsageError, printable


class Point(NamedTuple):
    """One network that a method made.

    Attributes:
        method: its name with arguments.
        trained: whether it was trained while it became smaller.
        bytes: of its numbers as they are stored.
        macs: multiply-adds of one example.
        worth: its figure: top-1 accuracy, or what else the labels are judged by.
    """

    method: str
    trained: bool
    bytes: int
    macs: int
    worth: float


def sweep(
    loaded: checkpoints.Pretrained,
    data: Dataset,
    *,
    evaluation: Dataset,
    epochs: float = 20.0,
    methods: Sequence[str] = SWEPT,
    **options: Any,
) -> list[Point]:
    """What each method makes of a network, trained and, in the same form, not trained.

    Args:
        loaded: the network, which is the first point.
        data: what it is trained on.
        evaluation: what it is measured on.
        epochs: passes over the data in each training.
        methods: names with arguments.
        options: as of `train.compress`.

    Raises:
        UsageError: as `train.compress` does.
    """
    found: list[Point] = []
    for method in methods:
        for passes in dict.fromkeys((epochs, 0.0)):
            given: Any = {"method": method, "evaluation": evaluation, "epochs": passes}
            small = compress(loaded, data, **given, **options)
            source: Any = small.card.source
            found = found or [_point("as it is", True, source["before"])]
            found.append(_point(method, passes > 0, source["after"]))
    return found


def _point(method: str, trained: bool, figures: dict[str, Any]) -> Point:
    metrics = figures["metrics"]
    worth = next(metrics[name] for name in FIGURES if name in metrics)
    return Point(method, trained, figures["bytes"], figures["macs"], worth)


def check_file(name: str) -> Path:
    """Where the figure goes.

    Raises:
        UsageError: it is no PNG file.
    """
    path = paths.local(name)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"`sweep` must be a file that ends in .png, got {name!r}")
    return path


def draw(points: Sequence[Point], path: Path, title: str, budget: int | None = None) -> None:
    """Accuracy against bytes: dots are trained, crosses are not, a line is the budget.

    Args:
        points: of `sweep`.
        path: of the PNG.
        title: above it.
        budget: in bytes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    axes = figure.subplots()
    colours = {method: f"C{n}" for n, method in enumerate(dict.fromkeys(p.method for p in points))}
    for method, colour in colours.items():
        for point in (p for p in points if p.method == method):
            marker, label = ("o", method) if point.trained else ("x", None)
            axes.scatter(point.bytes / 1000, point.worth, c=colour, marker=marker, label=label)
    if budget is not None:
        axes.axvline(budget / 1000, color="grey", linewidth=1, linestyle="--", label="budget")
    axes.set(xlabel="kB", ylabel="accuracy", xscale="log", title=printable(title))
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), title="dots: trained")
    write(figure, path)
