"""Pictures of maps over photographs: PNG for a report, HTML with figures beside them."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from train.honest.explanations import Explanation
from zoo.errors import UsageError, printable

SIDE = 2.4  # of a cell, in inches
SUFFIXES = (".png", ".html")
COLOURS = "inferno"
SHOWN = 99.5  # per cent of a map below its brightest colour


class Row(NamedTuple):
    """One picture and what methods found in it.

    Attributes:
        name: what the row is called.
        answer: the class that is explained and its probability, in words.
        pixels: what the network saw.
        found: by the names of methods.
    """

    name: str
    answer: str
    pixels: UInt8[np.ndarray, "h w c"]
    found: dict[str, Explanation]


def check_file(path: Path) -> None:
    """Refuses a file that no maps can be written to.

    Raises:
        UsageError: its name ends in neither .png nor .html, or it is a directory.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"`save` must end in one of {', '.join(SUFFIXES)}, got {str(path)!r}")
    if path.is_dir():
        raise UsageError(f"`save` {str(path)!r} is a directory; name a file, as in map.png")


def save(rows: Sequence[Row], path: Path) -> None:
    """Writes all maps as one picture, or as a page with the picture and its figures.

    Raises:
        UsageError: the file cannot be written.
    """
    picture = drawn(rows)
    content = picture if path.suffix.lower() == ".png" else _page(rows, picture).encode()
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.rename(path)
    except OSError as error:
        raise UsageError(f"could not write {str(path)!r}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def drawn(rows: Sequence[Row]) -> bytes:
    """A PNG: a row for each picture, itself first, then each map over it, and one colour bar."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    methods = list(rows[0].found)
    size = SIDE * (len(methods) + 1) + 0.8, (SIDE + 0.35) * len(rows)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), len(methods) + 1, squeeze=False)
    for cells, row in zip(grid, rows, strict=True):
        _show(cells[0], row.pixels, f"{_short(row.name)}\n{_short(row.answer)}")
        for cell, (method, found) in zip(cells[1:], row.found.items(), strict=True):
            figures = found.figures
            title = f"del {figures['deletion']:.2f}  ins {figures['insertion']:.2f}"
            _show(cell, overlay(row.pixels, found.map), f"{method}\n{title}")
    colours = ScalarMappable(cmap=COLOURS)
    bar = figure.colorbar(colours, ax=grid, shrink=0.6, pad=0.01)
    bar.set_label(f"share of each map's {SHOWN:g}th percentile", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def overlay(
    pixels: UInt8[np.ndarray, "h w c"], map_: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w 3"]:
    """A map in colours over its picture in grey, the more opaque the larger its values.

    The few largest values look alike: a gradient has some that would leave all others dark.
    """
    import matplotlib

    grey = pixels.mean(axis=-1, keepdims=True) / 255
    largest = max(float(np.percentile(map_, SHOWN)), float(np.finfo(np.float32).tiny))
    share = np.clip(map_ / largest, 0, 1)
    colour = matplotlib.colormaps[COLOURS](share)[..., :3]
    opaque = (0.25 + 0.6 * share)[..., None]
    return ((1 - opaque) * grey + opaque * colour).astype(np.float32)


def _show(axes: Any, picture: np.ndarray, title: str) -> None:
    axes.set_axis_off()
    grey = picture.ndim == 3 and picture.shape[-1] == 1
    shown = picture[..., 0] if grey else picture
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255 if grey else None, interpolation="nearest")
    axes.set_title(printable(title), fontsize=8, parse_math=False)


def _short(text: str, longest: int = 32) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _page(rows: Sequence[Row], picture: bytes) -> str:
    """A page that needs no other file."""
    titles = ("picture", "class", "method", "deletion", "insertion", "entropy", "seconds")
    head = "".join(f"<th>{title}</th>" for title in titles)
    lines = []
    for row in rows:
        for method, found in row.found.items():
            words = (row.name, row.answer, method)
            cells = [html.escape(printable(word)) for word in words]
            cells += [f"{found.figures[name]:.3f}" for name in titles[3:]]
            lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    source = base64.b64encode(picture).decode()
    return (
        '<!doctype html><meta charset="utf-8"><title>Explanations</title>'
        "<style>body{font:14px sans-serif}td,th{padding:2px 10px;text-align:left}"
        "img{max-width:100%}</style>"
        f'<img alt="maps" src="data:image/png;base64,{source}">'
        f"<p>Deletion: low is good. Insertion: high is good.</p><table><tr>{head}</tr>"
        f"{''.join(lines)}</table>"
    )
