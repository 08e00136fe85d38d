import dataclasses
import json
import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from checkpoints import Preprocess
from checkpoints.preprocess import open_image, to_channels
from zoo.errors import UsageError

CASES = Path(__file__).parents[1] / "golden" / "cases"
PHOTOS = json.loads((CASES / "preprocess_photos.json").read_text())["cases"]
WHITE, RED = (255, 255, 255), (255, 0, 0)


@pytest.fixture(scope="module")
def photos():
    china, flower = load_sample_images().images
    return {"china": china, "flower": flower}


@pytest.mark.parametrize("case", PHOTOS, ids=lambda case: case["id"])
def test_photographs_equal_the_reference_transform(case, photos):
    arrays, name = np.load(CASES / "preprocess_photos.npz"), case["id"]
    fields = ("crop_pct", "interpolation", "mean", "std")
    preprocess = Preprocess.from_dict(
        {"image_size": case["input_size"], **{field: case[field] for field in fields}}
    )
    result = preprocess(photos[case["image"]])
    assert result.shape == (preprocess.image_size, preprocess.image_size, 3)
    assert result.dtype == np.float32
    rows, columns = arrays[f"{name}_index"].T
    error = np.abs(result[rows, columns] - arrays[f"{name}_pixels"])
    assert error.max() < 1e-3
    assert error.mean() < 2e-4
    np.testing.assert_allclose(result.mean((0, 1), np.float64), arrays[f"{name}_mean"], atol=2e-4)
    np.testing.assert_allclose(result.std((0, 1), np.float64), arrays[f"{name}_std"], atol=2e-4)


def test_pillow_image_and_array_are_the_same(photos):
    image = Image.fromarray(photos["china"])
    np.testing.assert_array_equal(Preprocess()(image), Preprocess()(photos["china"]))


def test_a_small_image_is_not_touched():
    digit = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    preprocess = Preprocess(8, 1.0, mean=(0.5,), std=(0.5,))
    np.testing.assert_array_equal(preprocess.resize(digit), digit)
    np.testing.assert_allclose(preprocess(digit), digit / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize(("size", "resized"), [((30, 50), (8, 13)), ((50, 30), (13, 8))])
def test_the_crop_is_central_and_the_aspect_ratio_kept(size, resized):
    picture = Image.effect_noise(size, 90)
    start = round((max(resized) - 8) / 2)
    expected = np.asarray(picture.resize(resized, Image.Resampling.BICUBIC))
    expected = expected[:, start : start + 8] if resized[0] > 8 else expected[start : start + 8]
    result = Preprocess(8, 1.0, mean=(0.5,), std=(0.5,)).resize(picture)
    np.testing.assert_array_equal(result[..., 0], expected)


def test_normalize_takes_batches():
    batch = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    preprocess = Preprocess()
    np.testing.assert_array_equal(
        preprocess.normalize(batch), np.stack([preprocess.normalize(image) for image in batch])
    )


@pytest.mark.parametrize(
    ("image", "rgb"),
    [
        (Image.new("1", (9, 9), 1), WHITE),
        (Image.new("L", (9, 9), 77), (77, 77, 77)),
        (Image.new("LA", (9, 9), (77, 0)), WHITE),
        (Image.new("P", (9, 9), RED), RED),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 255)), RED),
        (Image.new("CMYK", (9, 9), (0, 255, 255, 0)), RED),
        (Image.new("I;16", (9, 9), 65535), WHITE),
        (Image.new("I;16", (9, 9), 257 * 40), (40, 40, 40)),
        (Image.new("I", (9, 9), 257 * 40), (40, 40, 40)),
        (Image.new("HSV", (9, 9), (0, 255, 255)), RED),
        (Image.new("La", (9, 9), (0, 0)), WHITE),
        (Image.frombytes("I;16B", (9, 9), (257 * 40).to_bytes(2, "big") * 81), (40, 40, 40)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode_has_one_meaning(image, rgb, tmp_path):
    assert to_channels(image).getcolors() == [(81, rgb)]
    assert to_channels(image, 1).mode == "L"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_the_meaning_survives_a_file(mode, tmp_path):
    image = Image.new(mode, (9, 9))
    image.save(tmp_path / "x.png")
    again = to_channels(open_image(tmp_path / "x.png"))
    assert again.getcolors() == to_channels(image).getcolors()


def png_of_16_bits(pixel):
    """A 9x9 PNG whose pixels are these 16-bit samples; Pillow writes grey ones only."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[len(pixel)]
    row = b"\0" + 9 * struct.pack(f">{len(pixel)}H", *pixel)
    header = struct.pack(">IIBBBBB", 9, 9, 16, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(9 * row)), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("pixel", "rgb"),
    [
        ((257 * 40,), (40, 40, 40)),
        ((257 * 40, 65535), (40, 40, 40)),
        ((257 * 40, 0), WHITE),
        ((65535, 257 * 40, 0), (255, 40, 0)),
        ((65535, 0, 0, 65535), RED),
        ((65535, 0, 0, 0), WHITE),
    ],
    ids=["grey", "grey opaque", "grey transparent", "rgb", "rgb opaque", "rgb transparent"],
)
def test_sixteen_bits(pixel, rgb, tmp_path):
    (tmp_path / "x.png").write_bytes(png_of_16_bits(pixel))
    assert to_channels(open_image(tmp_path / "x.png")).getcolors() == [(81, rgb)]


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (3, 30_001)])
def test_a_long_strip_takes_no_time(size):
    start = time.monotonic()
    result = Preprocess().resize(Image.new("RGB", size, RED))
    assert time.monotonic() - start < 2
    np.testing.assert_array_equal(result, np.broadcast_to(RED, (224, 224, 3)))


def test_the_middle_of_a_long_strip_is_seen():
    strip = np.zeros((4, 999, 3), np.uint8)
    strip[:, 500:] = 255
    result = Preprocess(224, 1.0, "nearest").resize(strip)[..., 0]
    assert set(result[:, :80].ravel()) == {0}
    assert set(result[:, 144:].ravel()) == {255}


def test_palette_transparency_is_white(tmp_path):
    Image.new("P", (9, 9), 0).save(tmp_path / "x.png", transparency=0)
    assert to_channels(open_image(tmp_path / "x.png")).getcolors() == [(81, WHITE)]


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg")
    red, green, blue = to_channels(open_image(tmp_path / "x.jpg")).getpixel((8, 8))
    assert (red > 245, green < 10, blue < 10) == (True, True, True)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_of_one_to_four_channels(channels):
    pixels = np.full((9, 9, channels), 255, np.uint8)
    assert Preprocess(8, 1.0).resize(pixels).min() == 255
    assert Preprocess(8, 1.0).resize(pixels[..., 0]).shape == (8, 8, 3)


def test_floating_point_pixels_are_refused():
    with pytest.raises(UsageError, match="mode 'F'"):
        Preprocess()(Image.new("F", (9, 9)))


@pytest.mark.parametrize("shape", [(2, 9, 9, 3), (9, 9, 5), (9,), (0, 9, 3)])
def test_shapes_that_are_no_image_are_refused(shape):
    with pytest.raises(UsageError, match=f"got uint8 of the shape {re.escape(str(shape))}"):
        Preprocess()(np.zeros(shape, np.uint8))


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter
    image.save(tmp_path / "x.jpg", exif=exif)
    assert open_image(tmp_path / "x.jpg").size == (10, 20)


def test_broken_images_are_named(tmp_path):
    noise = Image.effect_noise((64, 64), 50)
    for name in ("a.png", "a.jpg", "a.gif", "a.webp"):
        noise.save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UsageError, match=name):
            open_image(tmp_path / name)
    (tmp_path / "words.png").write_text("not an image")
    with pytest.raises(UsageError, match=r"words\.png"):
        open_image(tmp_path / "words.png")
    with pytest.raises(UsageError, match="no image file"):
        open_image(tmp_path / "absent.png")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 0),
        ("crop_pct", 0.0),
        ("crop_pct", 1.5),
        ("interpolation", "cubic"),
        ("mean", (0.5, 0.5)),
        ("std", (0.0, 1.0, 1.0)),
    ],
)
def test_impossible_settings_are_refused(field, value):
    with pytest.raises(UsageError, match=field):
        Preprocess(**{field: value})


@pytest.mark.parametrize(("width", "height"), [(30, 20), (20, 30), (7, 500), (16, 16)])
def test_squashing_loses_nothing_and_keeps_no_shape(width, height):
    """Both sides become `image_size / crop_pct` before the crop, whatever they were."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    preprocess = Preprocess(12, 0.75, "bilinear", crop_mode="squash")
    resized = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(preprocess.resize(pixels), np.asarray(resized)[2:14, 2:14])
    assert Preprocess.from_dict(dataclasses.asdict(preprocess)) == preprocess
