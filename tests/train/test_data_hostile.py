"""Data of strangers: whatever it holds, a sentence, little memory, and no foreign code."""

import io
import json
import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

import zoo
from checkpoints import pictures
from checkpoints.preprocess import open_image
from jax_functional_zoo.__main__ import main
from train.data import found, load_dataset
from train.data.prepared import require_known_features
from zoo.errors import printable

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(kind, size=(8, 8), **options):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(file, kind, **options)
    return file.getvalue()


def png(width, height, *, depth=8, colour=2, data=b"", extra=()):
    """A PNG with any header, and whatever pixels."""
    chunk = lambda kind, body: (  # noqa: E731
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    )
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(width, height):
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
    entries += [
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (278, 4, 1, height),
        (279, 4, 1, min(width * height, 2**31)),
    ]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + b"\0\0\0\0"


def bmp(width, height):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def gif(width, height):
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";"


WHOLE = encoded("PNG")
HOSTILE = {
    "eps": EPS,
    "eps of windows": struct.pack("<IIIIIIIH", 0xC6D3D0C5, 32, len(EPS), 0, 0, 0, 0, 0) + EPS,
    "pdf": b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\n%%EOF",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "ppm": encoded("PPM"),
    "tga": encoded("TGA"),
    "pcx": encoded("PCX"),
    "ico": encoded("ICO"),
    "jpeg 2000": encoded("JPEG2000"),
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "heif": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "html": b"<html>not found</html>",
    "nothing": b"",
    "one byte": b"\x89",
    "zeros": bytes(5000),
    "half a png": WHOLE[: len(WHOLE) // 2],
    "a png without pixels": png(8, 8),
    "half a jpeg": encoded("JPEG", (64, 64))[:200],
    "half a webp": encoded("WEBP", (64, 64))[:40],
    "a png of 4 gigapixels": png(65_536, 65_536, data=bytes(1000)),
    "a png of 2**62 pixels": png(2**31 - 1, 2**31 - 1),
    "a png of one row of 2**30": png(2**30, 1),
    "a grey png of 900 megapixels": png(30_000, 30_000, depth=1, colour=0, data=bytes(3751 * 9)),
    "a png of no pixels": png(0, 0),
    "a png of an unknown colour": png(8, 8, colour=5),
    "a png with a text that inflates": png(
        8, 8, extra=[(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7)))]
    ),
    "a png with a profile that inflates": png(
        8, 8, extra=[(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**7)))]
    ),
    "a tiff of 4 gigapixels": tiff(65_536, 65_536),
    "a tiff of no rows": tiff(8, 0),
    "a bmp of 4 gigapixels": bmp(65_536, 65_536),
    "a bmp of fewer than no pixels": bmp(-8, 8),
    "a gif of 4 gigapixels": gif(65_535, 65_535),
    "a gif without a picture": gif(8, 8),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_image_is_a_sentence(name, tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(zoo.UsageError, match=r"cat\.png' cannot be read as an image"):
        open_image(path)


def test_a_folder_of_hostile_files_counts_them(tmp_path):
    for kind in "ab":
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "good.png").write_bytes(WHOLE)
    for n, content in enumerate(HOSTILE.values()):
        (tmp_path / "a" / f"{n}.png").write_bytes(content)
    data = load_dataset(tmp_path, "all", skip_broken=True)
    assert (len(data), data.skipped) == (2, len(HOSTILE))
    assert f"{len(HOSTILE)} broken images" in found(data)
    with pytest.raises(zoo.UsageError, match="cannot be read as an image"):
        load_dataset(tmp_path, "all")


def test_no_other_program_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: pytest.fail("a program was started"))
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: pytest.fail("a program"))
    (tmp_path / "cat.png").write_bytes(EPS)
    with pytest.raises(zoo.UsageError, match="cannot be read"):
        open_image(tmp_path / "cat.png")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_what_is_no_file_is_not_opened(make, tmp_path):
    make(tmp_path / "cat.png")
    with pytest.raises(zoo.UsageError, match=r"cat\.png"):
        open_image(tmp_path / "cat.png")


def test_images_up_to_the_limit_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 64)
    monkeypatch.setattr(pictures, "LARGE", 32)  # one at a time
    (tmp_path / "cat.png").write_bytes(WHOLE)
    assert open_image(tmp_path / "cat.png").size == (8, 8)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 63)
    with pytest.raises(zoo.UsageError, match="8x8 pixels, more than 63"):
        open_image(tmp_path / "cat.png")


def exif(orientation, *more):
    """EXIF with fields in TIFF's form: (tag, kind, count, value)."""
    fields = [(0x0112, 3, 1, orientation), *more]
    body = b"".join(struct.pack("<HHII", *field) for field in fields)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(fields)) + body + b"\0\0\0\0"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    ("fields", "size"),
    [
        (exif(6), (8, 12)),
        (exif(6, (0x011A, 2, 4, 0x00323700)), (8, 12)),  # a resolution in letters
        (exif(6, (0x8769, 4, 1, 0xFFFFFF)), (8, 12)),  # a directory past the end
        (exif(99), (12, 8)),
        (b"Exif\0\0II*\0\xff\xff\xff\xff", (12, 8)),
        (b"Exif\0\0MM", (12, 8)),
        (b"Exif\0\0", (12, 8)),
    ],
)
def test_malformed_exif_does_not_matter(fields, size, tmp_path):
    (tmp_path / "1.jpg").write_bytes(encoded("JPEG", (12, 8), exif=fields))
    assert open_image(tmp_path / "1.jpg").size == size


def turned(orientation):
    from PIL import ImageOps

    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6))
    tags = Image.Exif()
    tags[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "PNG", exif=tags)
    return file, ImageOps.exif_transpose(Image.open(file))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation):
    file, expected = turned(orientation)
    with pictures.opened(file) as image:
        np.testing.assert_array_equal(np.asarray(pictures.upright(image)), np.asarray(expected))


OWN = "tensorflow_datasets.core.features."
FOREIGN = {
    "a module": {"pythonClassName": "evil_features.Zen"},
    "one that tfds would import": {"type": "evil_features.Zen", "content": {}},
    "deep inside": {"sequence": {"feature": {"pythonClassName": "evil_features.Zen"}}},
    "in a list": {"parts": [[{"pythonClassName": "evil_features.Zen"}]]},
    "a look-alike": {"pythonClassName": "tensorflow_datasets_core.features.Zen"},
    "a way out": {"pythonClassName": OWN + "..evil_features.Zen"},
    "tfds, but no feature": {"pythonClassName": "tensorflow_datasets.scripts.cli.main.Zen"},
    "a line more": {"pythonClassName": OWN + "image_feature.Image\nevil_features.Zen"},
}


def features(extra):
    label = {
        "classLabel": {"numClasses": "10"},
        "pythonClassName": OWN + "class_label_feature.ClassLabel",
    }
    return {
        "featuresDict": {"features": {"type": label, "x": extra}},
        "pythonClassName": OWN + "features_dict.FeaturesDict",
    }


@pytest.mark.parametrize("name", FOREIGN)
def test_features_of_other_modules_are_not_imported(name, tmp_path, monkeypatch):
    (tmp_path / "evil_features.py").write_text("raise SystemExit('foreign code was run')")
    monkeypatch.syspath_prepend(tmp_path)
    place = tmp_path / "data" / "set" / "1.0.0"
    place.mkdir(parents=True)
    (place / "features.json").write_text(json.dumps(features(FOREIGN[name])))
    (place / "dataset_info.json").write_text("{}")
    with pytest.raises(zoo.UsageError, match=r"names a feature of class .* remove the folder"):
        load_dataset("set", "train", data_dir=tmp_path / "data")
    assert "evil_features" not in sys.modules


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": 1e999999}, x', "\0"])
def test_features_that_are_no_json_are_a_sentence(text, tmp_path):
    (tmp_path / "features.json").write_text(text)
    with pytest.raises(zoo.UsageError, match="holds no JSON that can be read"):
        require_known_features(tmp_path)


def test_own_features_are_taken(tmp_path):
    (tmp_path / "features.json").write_text(json.dumps(features({})))
    require_known_features(tmp_path)


NAMES = ["[red]a[/red]", "[/nothing]", "\x1b[31mred", "a\rb", "$x$ and $", "\N{BELL}:smile:"]


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are(name, tmp_path, capsys):
    for kind in (name, "other"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for n in range(5):
            (tmp_path / "data" / kind / f"{n}.png").write_bytes(encoded("PNG"))
    out = tmp_path / "run"
    data = ["--dataset", str(tmp_path / "data"), "--out", str(out), "--steps", "1"]
    tiny = ["--set", "stage_sizes=[1]", "width=4", "--batch-size", "8"]
    assert main(["train", "--model", "resnet8", *tiny, *data]) == 0
    pictures = [str(tmp_path / "data" / name), "--save", str(tmp_path / "grid.png")]
    assert main(["predict", "--weights", str(out), "--top", "1", *pictures]) == 0
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert "\x1b" not in text
    assert printable(name).split("/")[0] in text.replace("\n", "")


@pytest.mark.parametrize("name", ["[a]", "a*", "who?"])
def test_directories_that_checkpoints_could_not_be_read_from_are_refused(name, tmp_path, capsys):
    options = ["--model", "resnet8", "--dataset", "zoo_digits", "--out", str(tmp_path / name)]
    assert main(["train", *options]) == 2
    assert "choose a directory without [, * and ?" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_codes_that_steer_a_terminal_are_spelled_out(capsys):
    assert printable("\x1b[2J\udcff\x07ä\n") == "\\x1b[2J\\udcff\\x07ä\n"
    assert main(["evaluate", "--weights", "no\x1b[31m", "--dataset", "zoo_digits"]) == 2
    assert "\x1b" not in capsys.readouterr().err
