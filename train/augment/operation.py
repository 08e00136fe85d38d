"""What a random change of a picture is: a pair of pure functions, one that draws and one that acts.

Whatever is random is drawn first, from the generator of the example alone; what is done is then a
function of picture and draws. So draws can be recorded and given to another library.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

Size = tuple[int, int]  # width and height, as Pillow has them
Picture = Image.Image  # grey ("L") or RGB, 8 bits


class Operation(NamedTuple):
    """A random change of a picture, which keeps its size and mode.

    Attributes:
        draw: (rng, size) -> draws, whatever `apply` takes.
        apply: (picture, draws) -> picture.

    >>> def dimmed(least):  # an operation of one's own
    ...     draw = lambda rng, size: rng.uniform(least, 1)
    ...     return Operation(draw, lambda picture, share: picture.point(lambda v: v * share))
    """

    draw: Callable[[np.random.Generator, Size], Any]
    apply: Callable[[Picture, Any], Picture]


def pixels(picture: Picture) -> np.ndarray:
    """The pixels of a picture, uint8 (h, w, c) with one channel or three."""
    return np.asarray(picture).reshape(picture.height, picture.width, -1)


def picture_of(array: np.ndarray) -> Picture:
    """The picture of pixels, uint8 (h, w, c) with one channel or three."""
    return Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array)
