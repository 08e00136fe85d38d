"""`zoo_rendered_digits`: digits from fonts, recorded as NIST recorded handwriting.

`render(seed, index)` draws one of unlimited images. A glyph of a random font becomes a field of
distances to its edge, or to its skeleton, as if a pen had followed it; the field is turned, sheared
and bent; a level set of it is the ink. What happens then is what happened to the images of
`zoo_digits`: the ink's bounding box is scaled to a bitmap 32 high and some 20 wide, strokes become
thicker or thinner up to a usual amount of ink, and blocks of 4x4 are counted, which gives 8x8
pixels of 17 levels.

The fonts are those with digits that ship with matplotlib. Print and handwriting differ in some
digits, so that most images take a written form: no foot under a 1, a bar through a 7, an open 4.

The constants were chosen on the training and validation images of `zoo_digits`, never on its test
images. What a resnet8 that has seen only rendered digits reads of real ones is the column "before"
of `python -m benchmarks.transfer`.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, Float32, Int, UInt8
from PIL import Image, ImageFont

from train.data.digits import digit_info, encode_png

DEJAVU = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold")
FONTS = (
    *DEJAVU,
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralItalic",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "cmb10",
    "cmmi10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)


class Form(NamedTuple):
    """How a digit is drawn: a character, cut off above and below by shares of its height."""

    character: str
    fonts: tuple[str, ...] = FONTS
    top: float = 0.0
    bottom: float = 0.0
    bar: bool = False


# Where handwriting departs from print.
WRITTEN = {
    1: (Form("1", bottom=0.15), Form("1", bottom=0.2), Form("l", DEJAVU)),
    2: (Form("2", (*DEJAVU, "cmss10")), Form("Z", (*DEJAVU, "cmss10"))),
    3: (
        Form("\N{CYRILLIC CAPITAL LETTER ZE}", DEJAVU),
        Form("\N{LATIN CAPITAL LETTER EZH}", DEJAVU),
    ),
    4: (
        Form("4", top=0.2),
        Form("4", top=0.3),
        Form("\N{CYRILLIC CAPITAL LETTER CHE}", DEJAVU),
        Form("\N{CYRILLIC SMALL LETTER CHE}", DEJAVU),
    ),
    6: (Form("6", top=0.15),),
    7: (Form("7", bar=True),),
}
WRITTEN_SHARE = 0.67
PEN_SHARE = 0.6  # of images that are drawn with a pen of constant width

# The height h, from 0 at the top to 1, shows what the glyph has at h ** exp(RISE): above 0 the
# upper part grows. In writing the loops of 6 and 9 and the flag of 1 take about half of the height.
RISE = {1: 0.6, 5: 0.12, 6: 0.34, 9: -0.36}

CANVAS, GLYPH = 96, 56  # side of a field of distances, height of the glyph on it
AXIS = np.linspace(-1, 1, 48, dtype=np.float32)  # of a field once it is bent

# Images of the configurations, to train and to test; the first one is the default.
SIZES = {"standard": (20_000, 2_000), "small": (2_000, 200), "large": (100_000, 2_000)}

# Standard deviations of what varies from image to image.
ROTATE = math.radians(7.0)
SHEAR, ASPECT, RISE_SPREAD = 0.15, 0.2, 0.15
BEND, WAVES = 6.0, 1.76  # pixels of the canvas, radians per half of it
PRESSURE = 0.43  # pixels of the canvas

# Of the bitmap, in pixels: mean and standard deviation.
BOX_WIDTH = (19.0, 1.5)
INK = (325.0, 36.0)
OFFSET = (0.0, 1.4)
THICKEST = {True: -6.0, False: -4.5}  # level of the field, for a pen and for an outline


def render(seed: int, index: int) -> tuple[UInt8[np.ndarray, "8 8 1"], int]:
    """Draws image `index` of the endless set `seed`, a function of these two alone.

    Returns:
        The image, black ground and white ink, and its label, which is `index % 10`.
    """
    rng = np.random.default_rng((seed, index))
    label = index % 10
    form, font = draw_form(label, rng)
    pen = bool(rng.random() < PEN_SHARE)
    field = bend(distances(form, font)[pen], RISE.get(label, 0.0), rng)
    bitmap = scan(field, THICKEST[pen], rng)
    counts = bitmap.reshape(8, 4, 8, 4).sum((1, 3))
    return np.rint(counts * (255 / 16)).astype(np.uint8)[..., None], label


def draw_form(label: int, rng: np.random.Generator) -> tuple[Form, str]:
    """Chooses a form and a font."""
    written = label in WRITTEN and rng.random() < WRITTEN_SHARE
    forms = WRITTEN[label] if written else (Form(str(label)),)
    form = forms[rng.integers(len(forms))]
    return form, form.fonts[rng.integers(len(form.fonts))]


@functools.cache
def distances(form: Form, font: str) -> dict[bool, Float32[np.ndarray, "96 96"]]:
    """Distances, in pixels and rising inward, to the skeleton (True) and to the edge (False)."""
    from scipy.ndimage import distance_transform_edt

    def depth(shape: np.ndarray) -> np.ndarray:
        return np.asarray(distance_transform_edt(shape), np.float32)

    ink = np.zeros((CANVAS, CANVAS), bool)
    small = glyph(form, font)
    top, left = (CANVAS - small.shape[0]) // 2, (CANVAS - small.shape[1]) // 2
    ink[top : top + small.shape[0], left : left + small.shape[1]] = small
    return {True: -depth(~thin(ink)), False: depth(ink) - depth(~ink)}


def glyph(form: Form, font: str) -> Bool[np.ndarray, "h w"]:
    """Draws a character `GLYPH` pixels high."""
    import matplotlib

    path = f"{matplotlib.get_data_path()}/fonts/ttf/{font}.ttf"
    mask = ImageFont.truetype(path, 200).getmask(form.character, mode="L")
    ink = trim(np.array(mask, np.uint8).reshape(mask.size[::-1]) > 127)
    height, width = ink.shape
    if form.bar:
        middle, reach = ink[height // 2].nonzero()[0].mean(), 0.36 * width
        ink = np.pad(ink, ((0, 0), (width, width)))
        bar = slice(int(middle - reach) + width, int(middle + reach) + width)
        ink[height // 2 : height // 2 + height // 9, bar] = True
    ink = trim(ink[int(form.top * height) : height - int(form.bottom * height)])
    width = min(round(ink.shape[1] * GLYPH / ink.shape[0]), CANVAS)
    return (
        np.array(Image.fromarray(ink).convert("L").resize((width, GLYPH), Image.Resampling.BOX))
        > 127
    )


def trim(ink: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "..."]:
    """Cuts off the empty margin."""
    return ink[box_of(ink)]


def box_of(ink: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """The rows and columns that hold ink."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def thin(ink: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The skeleton of a shape: Zhang & Suen 1984, https://doi.org/10.1145/357994.358023."""
    while True:
        before = ink
        for first in (True, False):
            padded = np.pad(ink, 1)
            north, south = padded[:-2, 1:-1], padded[2:, 1:-1]
            east, west = padded[1:-1, 2:], padded[1:-1, :-2]
            north_east, south_east = padded[:-2, 2:], padded[2:, 2:]
            south_west, north_west = padded[2:, :-2], padded[:-2, :-2]
            around = np.stack(
                [north, north_east, east, south_east, south, south_west, west, north_west]
            )
            count = around.sum(0)
            rises = (~around & np.roll(around, -1, 0)).sum(0)
            if first:
                open_side = ~(north & east & south) & ~(east & south & west)
            else:
                open_side = ~(north & east & west) & ~(north & south & west)
            ink = ink & ~((count >= 2) & (count <= 6) & (rises == 1) & open_side)
        if (ink == before).all():
            return ink


def bend(
    field: Float32[np.ndarray, "96 96"], rise: float, rng: np.random.Generator
) -> Float32[np.ndarray, "48 48"]:
    """Turns, shears, stretches and bends a field, and presses the pen unevenly."""
    angle, slant, aspect = (rng.standard_normal(3) * (ROTATE, SHEAR, ASPECT)).tolist()
    cos, sin, wide = math.cos(angle), math.sin(angle), math.exp(aspect)
    x = AXIS * (wide * cos + slant * sin) + AXIS[:, None] * (slant * cos - wide * sin)
    y = AXIS * sin + AXIS[:, None] * cos
    columns = pixel(x * (CANVAS / 2) + BEND * waves(2, rng))
    rows = uneven_rows(rise + RISE_SPREAD * rng.standard_normal())
    rows = rows[pixel(y * (CANVAS / 2) + BEND * waves(2, rng))]
    return field[rows, columns] + PRESSURE * waves(1, rng)


def waves(count: int, rng: np.random.Generator) -> Float32[np.ndarray, "48 48"]:
    """A sum of plane waves of random height, direction, length and phase."""
    height, along, down = rng.standard_normal((3, count, 1), np.float32)
    down = WAVES * down * AXIS + 2 * math.pi * rng.random((count, 1), np.float32)
    along = WAVES * along * AXIS
    # sin(a + d) = sin a cos d + cos a sin d, for all pairs of columns and rows at once
    downs = np.concatenate([height * np.cos(down), height * np.sin(down)])
    return downs.T @ np.concatenate([np.sin(along), np.cos(along)])


def uneven_rows(rise: float) -> Int[np.ndarray, "96"]:
    """Which row of the canvas to take for each row, so that the glyph's upper part grows."""
    margin = (CANVAS - GLYPH) // 2
    rows = np.arange(CANVAS)
    height = (np.arange(GLYPH) + 0.5) / GLYPH
    rows[margin:-margin] = margin + (height ** math.exp(rise) * GLYPH).astype(int)
    return rows


def pixel(offset: Float32[np.ndarray, "48 48"]) -> Int[np.ndarray, "48 48"]:
    """Index of the pixel of the canvas at an offset from its centre."""
    return np.minimum(np.maximum(offset + CANVAS / 2, 0), CANVAS - 1).astype(np.intp)


def scan(
    field: Float32[np.ndarray, "48 48"], thickest: float, rng: np.random.Generator
) -> Bool[np.ndarray, "32 32"]:
    """Brings the ink to the usual box and amount.

    The amount decides on the level, the level on the bounding box, and the box on the amount, so
    the level is found in a few rounds, from thin strokes on.
    """
    width = round(min(max(rng.normal(*BOX_WIDTH), 16), 28))
    ink = min(max(rng.normal(*INK) / (32 * width), 0.2), 0.8)
    box, level = (slice(None), slice(None)), top_level(field, 0.045)
    for _ in range(3):
        box = box_of(field >= level)
        level = max(top_level(field[box], ink), thickest)
    rows, columns = box
    edges = (columns.start, rows.start, columns.stop, rows.stop)
    scaled = np.asarray(
        Image.fromarray(field).resize((width, 32), Image.Resampling.BILINEAR, edges)
    )
    left = min(max(round((32 - width) / 2 + rng.normal(*OFFSET)), 0), 32 - width)
    bitmap = np.zeros((32, 32), bool)
    bitmap[:, left : left + width] = scaled >= max(top_level(scaled, ink), thickest)
    return bitmap


def top_level(field: Float32[np.ndarray, "h w"], share: float) -> float:
    """The level that a share of a field reaches."""
    rank = min(int((1 - share) * field.size), field.size - 1)
    return float(np.partition(field.ravel(), rank)[rank])


class ZooRenderedDigits(tfds.core.GeneratorBasedBuilder):
    """Digits rendered from fonts: 8x8 grey images of 10 classes.

    Example i is `render(0, i)` of the training images and `render(1, i)` of the test images.
    """

    name = "zoo_rendered_digits"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = tuple(
        tfds.core.BuilderConfig(name=name, description=f"{train:,} and {test:,} images")
        for name, (train, test) in SIZES.items()
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return digit_info(self, __doc__)

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        train, test = SIZES[str(self.info.config_name)]
        return {
            "train": self._generate_examples(0, train),
            "test": self._generate_examples(1, test),
        }

    def _generate_examples(self, seed: int, count: int) -> Iterator[tuple[int, dict]]:
        for index in range(count):
            image, label = render(seed, index)
            yield index, {"image": encode_png(image), "label": label}
