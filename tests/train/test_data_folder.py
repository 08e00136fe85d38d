"""Image folders: classes, splits, what is an image and what is not."""

import os

import numpy as np
import pytest
from PIL import Image

from train.data import evaluation_split, folder, found, load_dataset, splits
from zoo.errors import UsageError

EXIF_ORIENTATION = 0x0112


def paint(path, colour=(200, 30, 60), size=(12, 8), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)


@pytest.fixture
def pets(tmp_path):
    """Two classes of ten images each."""
    for k, name in enumerate(("beagle", "persian")):
        for i in range(10):
            paint(tmp_path / "pets" / name / f"{i}.png", (20 * i, 100 * k, 7))
    return tmp_path / "pets"


@pytest.fixture
def divided(tmp_path):
    """Three classes over three splits, of which one has all of them."""
    for split, classes in {"train": "abc", "val": "bc", "test": "c"}.items():
        for name in classes:
            paint(tmp_path / split / name / "1.jpg")
    paint(tmp_path / "test" / "c" / "2.jpg")
    return tmp_path


def test_examples_are_what_the_files_hold(pets):
    data = load_dataset(pets, "all")
    assert (data.name, data.split, data.skipped) == (str(pets), "all", 0)
    assert data.class_names == ("beagle", "persian")
    assert len(data) == 20
    for i, (path, label) in enumerate(data.files):
        example = data[i]
        assert example["label"] == label == data.class_names.index(path.parent.name)
        assert (example["input"] == (20 * int(path.stem), 100 * label, 7)).all()
        assert example["input"].shape == (8, 12, 3)
        assert example["input"].dtype == np.uint8


def test_indexing_is_that_of_a_sequence(pets):
    data = load_dataset(str(pets), "all")
    assert (data[-1]["input"] == data[19]["input"]).all()
    with pytest.raises(IndexError):
        data[20]
    assert len(list(data)) == 20


def test_small_data_is_decoded_once(pets, monkeypatch):
    data = load_dataset(pets)
    first = data[0]
    monkeypatch.setattr(folder, "open_image", None)
    assert data[0]["input"] is first["input"]
    assert not first["input"].flags.writeable


def test_large_data_is_not_kept(pets, monkeypatch):
    monkeypatch.setattr("train.data.dataset.IN_MEMORY_BYTES", 100)
    data = load_dataset(pets)
    assert data[0]["input"] is not data[0]["input"]


def test_a_folder_is_cut_by_class_and_whatever_the_order_of_its_files(pets, monkeypatch):
    parts = {split: load_dataset(pets, split).files for split in splits(pets)}
    assert {split: len(files) for split, files in parts.items()} == {
        "train": 16,
        "test": 4,
        "all": 20,
    }
    assert sorted(label for _, label in parts["test"]) == [0, 0, 1, 1]
    assert set(parts["train"]) | set(parts["test"]) == set(parts["all"])
    walk = folder.listed
    backwards = lambda home: walk(home)._replace(images=walk(home).images[::-1])  # noqa: E731
    monkeypatch.setattr(folder, "listed", backwards)
    assert load_dataset(pets, "test").files == parts["test"]
    assert evaluation_split(pets) == "test"


def test_the_cut_moves_with_the_folder(pets):
    before = [path.relative_to(pets) for path, _ in load_dataset(pets, "test").files]
    moved = pets.rename(pets.parent / "elsewhere")
    assert [path.relative_to(moved) for path, _ in load_dataset(moved, "test").files] == before


@pytest.mark.parametrize(
    ("split", "length"),
    [("all[:10%]", 2), ("all[50%:]", 10), ("train[:5]", 5), ("all[-3:]", 3), ("all[:]", 20)],
)
def test_slices(pets, split, length):
    data = load_dataset(pets, split)
    assert (len(data), data.split) == (length, split)


def test_halves_of_a_slice_are_the_whole(pets):
    halves = load_dataset(pets, "all[:50%]").files + load_dataset(pets, "all[50%:]").files
    assert halves == load_dataset(pets, "all").files


def test_splits_share_the_names_of_all_classes(divided):
    assert splits(divided) == ("train", "val", "test")
    for split in ("train", "val", "validation", "test"):
        assert load_dataset(divided, split).class_names == ("a", "b", "c")
    assert [load_dataset(divided, "test")[i]["label"] for i in (0, 1)] == [2, 2]


def test_evaluation_falls_back_on_validation(divided):
    for path in (divided / "test").rglob("*.jpg"):
        path.unlink()
    (divided / "test" / "c").rmdir()
    assert evaluation_split(divided) == "val"


def test_all_usual_files_and_only_visible_ones_are_images(tmp_path):
    names = [
        "a.JPG",
        "b.jpeg",
        "c.Png",
        "d.bmp",
        "e.webp",
        "f.gif",
        "g.tif",
        "h.TIFF",
        "deeper/down/i.png",
    ]
    for name in names:
        paint(tmp_path / "x" / name)
    paint(tmp_path / "y" / "1.png")
    paint(tmp_path / "x" / ".hidden.png")
    paint(tmp_path / ".cache" / "1.png")
    paint(tmp_path / "x" / ".thumbnails" / "1.png")
    (tmp_path / "x" / "notes.txt").write_text("no image")
    data = load_dataset(tmp_path, "all")
    assert data.class_names == ("x", "y")
    assert {str(p.relative_to(tmp_path / "x")) for p, k in data.files if k == 0} == set(names)


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("1", 1), ("LA", 1), ("P", 3), ("RGBA", 3)]
)
def test_grey_stays_grey_and_all_else_is_colour(tmp_path, mode, channels):
    paint(tmp_path / "a" / "1.png", (255, 255, 255), mode=mode)
    paint(tmp_path / "b" / "1.png")
    image = next(x["input"] for x in load_dataset(tmp_path, "all") if x["label"] == 0)
    assert image.shape == (8, 12, channels)
    assert (image == 255).all()


def test_photographs_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    paint(tmp_path / "a" / "1.jpg", exif=exif)
    paint(tmp_path / "b" / "1.jpg")
    shapes = {x["label"]: x["input"].shape for x in load_dataset(tmp_path, "all")}
    assert shapes == {0: (12, 8, 3), 1: (8, 12, 3)}


def test_links_are_followed_and_circles_end(tmp_path, pets):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "dogs").symlink_to(pets / "beagle")
    (tmp_path / "linked" / "cats").symlink_to(pets / "persian")
    (pets / "beagle" / "again").symlink_to(pets / "beagle")
    assert len(load_dataset(tmp_path / "linked", "all")) == 20


def break_files(pets):
    (pets / "beagle" / "3.png").write_bytes(b"this is not a PNG file")
    whole = (pets / "persian" / "4.png").read_bytes()
    (pets / "persian" / "4.png").write_bytes(whole[:-25])
    Image.effect_noise((64, 64), 90).save(pets / "persian" / "5.jpg")
    whole = (pets / "persian" / "5.jpg").read_bytes()
    (pets / "persian" / "5.jpg").write_bytes(whole[: len(whole) // 2])
    (pets / "persian" / "6.gif").touch()


def test_a_broken_file_is_named(pets):
    (pets / "beagle" / "3.png").write_bytes(b"this is not a PNG file")
    with pytest.raises(UsageError, match=r"beagle/3\.png' cannot be read .*`skip_broken`"):
        load_dataset(pets, "all")


def test_broken_files_are_counted_or_skipped(pets):
    break_files(pets)
    with pytest.raises(UsageError, match=r"\(and 3 more\) cannot be read"):
        load_dataset(pets, "all")
    data = load_dataset(pets, "all", skip_broken=True)
    assert (len(data), data.skipped) == (18, 4)
    assert len(list(data)) == 18


def test_skipping_moves_no_file_between_splits(pets):
    before = set(load_dataset(pets, "test").files)
    break_files(pets)
    (pets / "persian" / "5.jpg").unlink()
    (pets / "persian" / "6.gif").unlink()
    after = set(load_dataset(pets, "test", skip_broken=True).files)
    assert after <= before
    assert before - after <= {(pets / "beagle/3.png", 0), (pets / "persian/4.png", 1)}


def test_unusable_folders_are_refused(tmp_path, pets):
    def refused(path, message, split="train"):
        with pytest.raises(UsageError, match=message):
            load_dataset(path, split)

    (tmp_path / "empty").mkdir()
    paint(tmp_path / "flat" / "1.png")
    paint(tmp_path / "single" / "only" / "1.png")
    (tmp_path / "single" / "nothing").mkdir()
    refused(tmp_path / "missing", "there is no folder '.*missing'")
    refused("./missing", "there is no folder 'missing'")
    refused(pets / "beagle" / "1.png", "there is no folder")
    refused(tmp_path / "empty", "no images in class sub-folders; put files ending in .bmp")
    refused(tmp_path / "flat", "no images in class sub-folders")
    refused(tmp_path / "single", "one class only, 'only'")
    refused(pets, r"no split 'trian'; it has 'train', 'test', 'all', slices", "trian")
    refused(pets, r"no split 'train\[:x\]'", "train[:x]")
    refused(pets, r"split 'train\[:0\]' of folder .* holds no examples", "train[:0]")


def test_only_folders_with_images_are_classes(pets):
    for name in ("__MACOSX", "@eaDir", "lost+found", ".ipynb_checkpoints", "empty", "notes"):
        (pets / name).mkdir()
    (pets / "notes" / "a.txt").write_text("no image")
    paint(pets / "__MACOSX" / "._1.jpg")
    paint(pets / "beagle" / "new.heic", format="PNG")
    os.mkfifo(pets / "beagle" / "pipe.jpg")
    data = load_dataset(pets, "train")
    assert data.class_names == tuple(sorted(p.name for p in pets.iterdir() if any(p.glob("0.*"))))
    assert found(data).endswith(
        "left out: 1 .heic files, 1 .txt files, 1 empty folders, 1 special files"
    )
    assert found(data).startswith(f"{pets}:train: {len(data)} examples of 2 classes")


def test_files_that_cannot_be_read_are_named_where_there_are_no_others(tmp_path):
    for name in "ab":
        paint(tmp_path / name / "1.heic", format="PNG")
    with pytest.raises(UsageError, match=r"no images .* \(there are 2 \.heic files\)"):
        load_dataset(tmp_path, "train")


def test_a_class_without_training_images_is_refused(divided):
    paint(divided / "test" / "zebra" / "1.jpg")
    with pytest.raises(UsageError, match="classes without images in train/: 'zebra'"):
        load_dataset(divided, "train")


def test_classes_beside_splits_are_refused(divided):
    paint(divided / "bus" / "1.jpg")
    with pytest.raises(UsageError, match=r"has splits \(.*\) and, beside them, .* \('bus'\)"):
        load_dataset(divided, "train")


def test_splits_can_be_added(divided):
    parts = [load_dataset(divided, split).files for split in ("train", "test")]
    assert load_dataset(divided, "train+test").files == parts[0] + parts[1]
    assert load_dataset(divided, "train[:1] + test").files == parts[0][:1] + parts[1]
    with pytest.raises(UsageError, match="no split 'best'"):
        load_dataset(divided, "train+best")
