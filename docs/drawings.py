"""Drawings of the site that no page's code leaves behind: `python -m scripts.pictures`."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "train": "what runs over data: the step, the loop, data, methods, the program",
    "checkpoints": "what concerns stored weights: cards, origins, readers, names",
    "zoo": "pure functions of networks: families, parameters, explain, attack",
    "zoo.layers": "what two or more families share, one idea a file",
}
COLOURS = ("#fde0c5", "#d5e8d4", "#dae8fc", "#e1d5e7")
DEVICES = ("#4c78a8", "#f58518", "#54a24b", "#e45756")


def imported(package: str) -> set[str]:
    """Those of our packages that the files of one import."""
    folder = ROOT / package.replace(".", "/")
    below = [ROOT / name.replace(".", "/") for name in PACKAGES if name.startswith(f"{package}.")]
    files = (p for p in folder.rglob("*.py") if not any(p.is_relative_to(b) for b in below))
    return {_owner(module) for path in files for module in _modules(path)} - {package, ""}


def _modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _owner(module: str) -> str:
    names = sorted(PACKAGES, key=len, reverse=True)
    return next((name for name in names if f"{module}.".startswith(f"{name}.")), "")


def tree(path: Path) -> None:
    """The packages from top to bottom, with an arrow from each to those that it imports."""
    _, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    places = {name: 3.0 - n for n, name in enumerate(PACKAGES)}
    for (name, text), colour in zip(PACKAGES.items(), COLOURS, strict=True):
        box = Rectangle((-3.2, places[name] - 0.3), 6.4, 0.6, facecolor=colour, edgecolor="#555")
        axes.add_patch(box)
        axes.text(0, places[name] + 0.12, name, ha="center", va="center", fontsize=12)
        axes.text(0, places[name] - 0.13, text, ha="center", va="center", fontsize=9)
    for upper, lower in itertools.combinations(PACKAGES, 2):
        if lower in imported(upper):
            _arrow(axes, places[upper], places[lower])
    axes.set(xlim=(-3.3, 3.8), ylim=(-0.4, 3.4))
    _save(axes, path)


def _arrow(axes: Axes, top: float, bottom: float) -> None:
    """Straight to the next package, around those between to one further down."""
    if top - bottom == 1:
        ends, bend = ((0, bottom + 0.3), (0, top - 0.3)), 0.0
    else:
        ends, bend = ((3.2, bottom + 0.15), (3.2, top - 0.15)), -0.2
    style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "color": "#555"}
    axes.annotate("", *ends, arrowprops=style)


def sharding(path: Path) -> None:
    """What each of four devices holds: a quarter of every batch, and all parameters."""
    _, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    for n, colour in enumerate(DEVICES):
        axes.text(n + 0.4, 2.4, f"device {n}", ha="center", fontsize=10)
        quarters = [Rectangle((n, 2.1 - 0.2 * k), 0.8, 0.16) for k in range(4)]
        for k, quarter in enumerate(quarters):
            quarter.set(facecolor=colour if k == n else "white", edgecolor="#999")
            axes.add_patch(quarter)
        axes.add_patch(Rectangle((n, 0), 0.8, 1.1, facecolor="#dddddd", edgecolor="#999"))
    axes.text(-0.15, 1.85, "batch", ha="right", va="center", fontsize=10)
    axes.text(-0.15, 0.55, "parameters,\nstatistics,\noptimiser", ha="right", va="center")
    axes.annotate("", (0, 1.28), (3.8, 1.28), arrowprops={"arrowstyle": "<->", "color": "#555"})
    axes.text(1.9, 1.31, "mean of the gradients", ha="center", va="bottom", fontsize=9)
    axes.set(xlim=(-1, 4), ylim=(-0.1, 2.6))
    _save(axes, path)


def _save(axes: Axes, path: Path) -> None:
    axes.set_axis_off()
    plt.savefig(path, dpi=130)
    plt.close()


DRAWINGS = {"tree.png": tree, "sharding.png": sharding}
