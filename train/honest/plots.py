"""Curves of robustness and calibration, and matrices of confusion, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from train.honest.curves import Curve
from zoo.errors import UsageError, printable


def robustness(
    path: Path,
    title: str,
    curves: Mapping[str, Curve],
    certified: Mapping[float, float],
    predicted: tuple[Sequence[float], Any] | None = None,
) -> None:
    """Accuracy against the size of an attack, and certified accuracy against the radius.

    Args:
        path: of the PNG.
        title: above it.
        curves: by the names of attacks.
        certified: accuracy by radius; may be empty.
        predicted: eps and accuracy that the gradients at the examples predict.

    Raises:
        UsageError: the file cannot be written.
    """
    panels = 1 + bool(certified)
    figure, axes = _figure(panels, (5.2 * panels, 4.0))
    for name, curve in curves.items():
        (line,) = axes[0].plot(curve.eps, curve.accuracy, marker=".", label=_fitted(name, curve))
        axes[0].fill_between(curve.eps, curve.low, curve.high, alpha=0.15, color=line.get_color())
    if predicted is not None:
        label = "first order, from clean gradients"
        axes[0].plot(*predicted, color="grey", linestyle="--", linewidth=1, label=label)
    axes[0].set(xlabel="eps", ylabel="accuracy", ylim=(0, 1), title=printable(title))
    axes[0].legend(fontsize=8)
    if certified:
        radii = list(certified)
        axes[1].step(radii, list(certified.values()), where="post")
        axes[1].set(xlabel="radius, Euclidean", ylabel="certified accuracy", ylim=(0, 1))
    write(figure, path)


def _fitted(name: str, curve: Curve) -> str:
    if curve.law is None:
        return name
    return f"{name}: excess error ~ eps^{curve.law.slope:.2f}, R² {curve.law.r2:.3f}"


def reliability(
    path: Path, confidence: Sequence[float], accuracy: Sequence[float], share: Sequence[float]
) -> None:
    """Accuracy of each bin of confidence beside the confidence, and how many examples it holds.

    Args:
        path: of the PNG.
        confidence: mean of each bin, NaN where it is empty.
        accuracy: of each bin.
        share: of the examples that are in it.
    """
    figure, (above, below) = _figure(2, (4.6, 5.4), rows=2)
    edges = np.linspace(0, 1, len(share) + 1)
    middle, width = (edges[:-1] + edges[1:]) / 2, 1 / len(share)
    above.bar(middle, np.nan_to_num(np.asarray(accuracy)), width * 0.9, label="accuracy")
    above.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--")
    above.plot(confidence, accuracy, marker="o", color="C1", markersize=3, label="mean confidence")
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    above.legend(fontsize=8)
    below.bar(middle, share, width * 0.9, color="grey")
    below.set(xlabel="confidence", ylabel="share of examples", xlim=(0, 1))
    write(figure, path)


def confusion(path: Path, matrix: Float[np.ndarray, "k k"], names: Sequence[str]) -> None:
    """Counts by label, rows, and answer, columns; colours are shares of each row.

    Args:
        path: of the PNG.
        matrix: counts.
        names: of the classes; shown, with the numbers, where there are few.
    """
    few, side = len(names) <= MOST_NAMED, float(np.clip(0.45 * len(names) + 2, 4, 12))
    figure, (axes,) = _figure(1, (side, side))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="answer", ylabel="label")
    if few:
        labels = [printable(name)[:16] for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=7, parse_math=False)
        axes.set_yticks(range(len(names)), labels, fontsize=7, parse_math=False)
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, f"{int(matrix[i, j])}", ha="center", va="center", color=colour, size=7)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the label's examples")
    write(figure, path)


MOST_NAMED = 30  # classes whose names can be read


def _figure(panels: int, size: tuple[float, float], rows: int = 1) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, panels // rows, squeeze=False).ravel()
    return figure, axes


def write(figure: Any, path: Path) -> None:
    """Writes a figure, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(partial, format="png")
        partial.rename(path)
    except OSError as error:
        raise UsageError(f"could not write {str(path)!r}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
