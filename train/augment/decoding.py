"""JPEG scaled decoding: a large photograph is decoded at 1/2, 1/4 or 1/8 of its size.

A JPEG's blocks of 8×8 pixels can be decoded at fewer, which saves most of the time where the
network sees a small picture. It is done as far as two pixels along each side of the region that is
seen remain for one that the network reads, as in Pillow's own thumbnails. What comes out is that of
decoding at full size but for the filter that makes it smaller: of photographs, less than a level of
255 apart on average at the usual sizes.
"""

import math
from typing import Any

from PIL import ExifTags, Image

from checkpoints.pictures import upright
from checkpoints.preprocess import Preprocess
from train.augment.operation import Size

GAP = 2  # pixels along a side that are decoded for one that is read
SIDEWAYS = (5, 6, 7, 8)  # EXIF's orientations whose width is the picture's height


def upright_size(image: Image.Image) -> Size:
    """Width and height of a picture once it is turned as its file says."""
    try:
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's parsers raise whatever malformed fields make them
        orientation = None
    width, height = image.size
    return (height, width) if orientation in SIDEWAYS else (width, height)


def needed(size: Size, preprocess: Preprocess, seen: Size | None = None) -> float:
    """How many pixels of a picture there are to a pixel that is read.

    Args:
        size: of the whole picture.
        preprocess: what the network reads.
        seen: size of the region that becomes its input; None is the crop of evaluation.
    """
    if seen is not None:
        return min(seen) / preprocess.image_size
    return min(size) / math.floor(preprocess.image_size / preprocess.crop_pct)


def decoded(image: Image.Image, spare: float) -> tuple[Image.Image, int]:
    """Decodes an opened file upright, and says by which factor it is smaller than the file.

    Args:
        image: opened, not yet decoded; no JPEG is decoded as it is.
        spare: pixels along a side of the whole for one that is read.
    """
    factor = next((f for f in (8, 4, 2) if GAP * f <= spare), 1)
    width, height = image.size
    done = image.draft(None, (width // factor, height // factor)) if factor > 1 else None
    return upright(image), factor if done else 1
