"""Pictures of pictures, for the command line and for notebooks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from zoo.errors import printable

SIDE, GAP = 1.4, 0.04  # of a cell, and between its edge and the picture, in inches


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

    >>> data = train.load_dataset("zoo_digits", "test")
    >>> grid = train.image_grid([data[i]["input"] for i in range(8)], columns=4)
    >>> grid.save("digits.png")
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    above = 0.18 * max((title.count("\n") + 1 for title in titles), default=0)
    width, height = SIDE * columns, (SIDE + above) * rows
    side = SIDE - 2 * GAP
    figure = Figure(figsize=(width, height), dpi=120)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        left, bottom = SIDE * column + GAP, height - (SIDE + above) * (row + 1) + GAP
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        axes.set_axis_off()
        axes.imshow(image, cmap="gray", interpolation="nearest")
        if titles:
            axes.set_title(printable(titles[i]), fontsize=8, pad=3, parse_math=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
