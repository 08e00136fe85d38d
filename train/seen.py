"""What the preprocessing of weights makes of pictures, in words."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from checkpoints.preprocess import Preprocess, SequencePreprocess
from train.data import Dataset

SOME = 16  # pictures that are looked at
NOISE = 32  # of 255: how far channels of a grey picture lie apart after a lossy compression
LITTLE = 64  # pixels of a side, from which on a photograph can still be told


def lost(data: Dataset, preprocess: Preprocess) -> str | None:
    """A warning if much of the pictures of a data set is lost; see `lost_of`."""
    if isinstance(preprocess, SequencePreprocess):
        return None
    some = np.linspace(0, len(data) - 1, min(len(data), SOME)).astype(int)
    return lost_of([data[i]["input"] for i in some.tolist()], preprocess, data.name)


def lost_of(
    pictures: Sequence[UInt8[np.ndarray, "..."]], preprocess: Preprocess, name: str
) -> str | None:
    """A warning if much of some pictures is lost: their colours, or all but a few pixels.

    Args:
        pictures: a few of them; those whose channels are all the same have no colours to lose.
        preprocess: what belongs to the weights.
        name: of the pictures, begins the line.

    Returns:
        A line, or None if nothing is lost that a person would miss.
    """
    height, width = (int(np.median([p.shape[axis] for p in pictures])) for axis in (0, 1))
    colour = any(np.ptp(picture, axis=-1).max() > NOISE for picture in pictures)
    side, greyed = preprocess.image_size, colour and preprocess.channels == 1
    tiny = side < LITTLE and 2 * side <= min(height, width)
    if not greyed and not tiny:
        return None
    return (
        f"warning: {name}: {'colour ' if colour else ''}pictures of {width}x{height} are seen as "
        f"{side}x{side}{' in grey' if greyed else ''}; weights for photographs would see more"
    )
