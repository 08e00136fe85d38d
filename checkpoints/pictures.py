"""Image files, opened with care: only formats that are wanted, and no more pixels than fit.

Pillow tells formats by their first bytes, whatever a file is called, and hands some of them to
other programs (EPS to Ghostscript). A file of some hundred KB may hold gigabytes of pixels.
"""

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from zoo.errors import UsageError

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "GIF", "TIFF")
MOST_PIXELS = 2**27  # 134 million, 400 MB of RGB
LARGE = 2**24  # pixels from which on one image at a time is decoded
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def opened(source: str | os.PathLike[str] | io.BytesIO) -> Iterator[Image.Image]:
    """An image whose header was read, and whose pixels may be decoded within.

    Args:
        source: a path of a regular file, or a file of bytes.

    Raises:
        UsageError: no regular file, or more pixels than `MOST_PIXELS`.
        Exception: whatever Pillow raises of what is no image of `FORMATS`.
    """
    if isinstance(source, str | os.PathLike) and not Path(source).is_file():
        raise UsageError("it is no regular file")
    with Image.open(source, formats=FORMATS) as image:
        pixels = image.width * image.height
        if pixels > MOST_PIXELS:
            raise UsageError(
                f"it has {image.width}x{image.height} pixels, more than {MOST_PIXELS:,}; make it "
                "smaller"
            )
        with _one_at_a_time if pixels > LARGE else contextlib.nullcontext():
            yield image


def upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation says; as it is where that cannot be read."""
    try:
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's parsers raise whatever malformed fields make them
        orientation = None
    image.load()
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)
