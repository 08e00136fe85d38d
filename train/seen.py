"""What the preprocessing of weights makes of pictures, in words."""

from collections.abc import Sequence

import numpy as np

from checkpoints.preprocess import Preprocess, SequencePreprocess
from train.data import Dataset

SOME = 16  # pictures that are looked at
LITTLE = 64  # pixels of a side, from which on a photograph can still be told


def lost(data: Dataset, preprocess: Preprocess) -> str | None:
    """A warning if much of the pictures of a data set is lost; see `lost_of`."""
    if isinstance(preprocess, SequencePreprocess):
        return None
    some = np.linspace(0, len(data) - 1, min(len(data), SOME)).astype(int)
    return lost_of([data[i]["input"].shape for i in some.tolist()], preprocess, data.name)


def lost_of(shapes: Sequence[tuple[int, ...]], preprocess: Preprocess, name: str) -> str | None:
    """A warning if much of some pictures is lost: their colours, or all but a few pixels.

    Args:
        shapes: heights, widths and channels.
        preprocess: what belongs to the weights.
        name: of the pictures, begins the line.

    Returns:
        A line, or None if nothing is lost that a person would miss.
    """
    height, width = (int(np.median([shape[axis] for shape in shapes])) for axis in (0, 1))
    colour = any(shape[-1] == 3 for shape in shapes)
    side, greyed = preprocess.image_size, colour and preprocess.channels == 1
    tiny = side < LITTLE and 2 * side <= min(height, width)
    if not greyed and not tiny:
        return None
    return (
        f"warning: {name}: {'colour ' if colour else ''}pictures of {width}x{height} are seen as "
        f"{side}x{side}{' in grey' if greyed else ''}; weights for photographs would see more"
    )
