"""Pictures of pictures, for the command line and for notebooks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image


def image_grid(
    images: Sequence[Any], titles: Sequence[str] = (), *, columns: int = 8
) -> Image.Image:
    """Draws images in rows, each under its title.

    Args:
        images: arrays (h, w), (h, w, 1) or (h, w, 3), uint8 or floats from 0 to 1; of any sizes.
        titles: one a picture, or none at all.
        columns: pictures in a row.

    Returns:
        An image: a notebook shows it, `save` writes it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    size = (1.4 * columns, (1.35 + 0.2 * lines) * rows)
    figure = Figure(figsize=size, layout="constrained", dpi=120)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image in zip(grid, images, strict=False):
        axes.imshow(image, cmap="gray", interpolation="nearest")
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
