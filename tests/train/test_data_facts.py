"""A run goes on with the data that it began with, or not at all."""

import dataclasses
import shutil

import numpy as np
import pytest

import train
import zoo
from train import config_file, data_facts
from train.data import digest


@pytest.fixture
def begun(pictures, tmp_path):
    """A folder of pictures, and a run on it that has not come to its first checkpoint."""
    folder, run = shutil.copytree(pictures, tmp_path / "pictures"), tmp_path / "run"
    config = train.Config(
        model="resnet8", dataset=str(folder), steps=1, batch_size=8, out=str(run), resume=True
    )
    run.mkdir()
    config_file.save(config, run / "config.json")
    data_facts.record(run, facts(folder))
    return config, folder


def facts(folder, per_class=None):
    training = train.load_dataset(folder, "train")
    if per_class:
        training = train.few_shot(training, per_class, 0)
    return data_facts.facts(training, train.load_dataset(folder, "test"))


def first(folder, label):
    """A file of the training split."""
    return next(path for path, k in train.load_dataset(folder, "train").files if k == label)


CHANGES = {
    "a class was renamed": (
        lambda folder: (folder / "two").rename(folder / "deux"),
        "training: class 'two' is gone\n  training: class 'deux' is new\n  evaluation: class 'two'",
    ),
    "a class was added": (
        lambda folder: shutil.copytree(folder / "one", folder / "four"),
        "training: class 'four' is new",
    ),
    "an image was added": (
        lambda folder: shutil.copy(first(folder, 0), first(folder, 0).with_name("copy.png")),
        "class 'one' had",
    ),
    "an image was renamed": (
        lambda folder: [p.rename(p.with_name(f"x{p.name}")) for p in (folder / "one").iterdir()],
        "training: class 'one' ",
    ),
    "an image was replaced": (
        lambda folder: shutil.copy(first(folder, 1), first(folder, 0)),
        "training: class 'one' has 10 files as before, but others: their names or sizes differ",
    ),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_other_data_is_refused_with_the_difference(begun, change, words):
    config, folder = begun
    data_facts.check(folder.parent / "run", facts(folder))
    change(folder)
    with pytest.raises(zoo.UsageError, match="has changed since it began") as refused:
        train.fit(config)
    assert words in str(refused.value)
    assert not (folder.parent / "run" / "steps").exists()


def test_a_few_of_each_class_are_told_by_all_the_files(begun):
    _, folder = begun
    assert facts(folder, 2)["training"]["classes"] == facts(folder)["training"]["classes"]
    assert facts(folder, 2)["training"]["examples"] == 6


def test_data_sets_without_files_are_told_by_their_numbers(tmp_path):
    digits = train.load_dataset("zoo_digits", "validation")
    now = data_facts.facts(digits, digits)
    assert now["training"] == {
        "of": "zoo_digits:validation",
        "examples": 360,
        "classes": dict.fromkeys("0123456789"),
        "contents": {"version": "1.0.0"},
    }
    data_facts.record(tmp_path, now)
    data_facts.check(tmp_path, now)
    fewer = data_facts.facts(digits, train.few_shot(digits, 2, 0))
    with pytest.raises(zoo.UsageError, match="evaluation: 360 examples there, 20 here"):
        data_facts.check(tmp_path, fewer)


def test_other_contents_under_the_same_names_and_sizes_are_refused(begun):
    _, folder = begun
    path = min((folder / "one").iterdir())
    body = bytearray(path.read_bytes())
    body[-5] ^= 1  # of the last chunk's sum, which no decoder asks for
    path.write_bytes(body)
    words = "training: the first images of each class: other contents"
    with pytest.raises(zoo.UsageError, match=words):
        data_facts.check(folder.parent / "run", facts(folder))


def replaced(path, value, index=0):
    array = np.load(path)
    array[index] = value
    np.save(path, array)


ARRAYS = {
    "one number": (lambda home: replaced(home / "train/inputs.npy", 7.0, (3, 2, 1)), "inputs"),
    "one class": (lambda home: replaced(home / "train/targets.npy", 1, 3), "targets"),
}


@pytest.mark.parametrize(("change", "name"), ARRAYS.values(), ids=ARRAYS)
def test_changed_arrays_are_refused(tmp_path, change, name):
    for split in ("train", "test"):
        (tmp_path / "a" / split).mkdir(parents=True)
        np.save(tmp_path / "a" / split / "inputs.npy", np.zeros((6, 3, 2), np.float32))
        np.save(tmp_path / "a" / split / "targets.npy", np.array([0, 1, 0, 0, 1, 1]))
    shutil.copytree(tmp_path / "a", tmp_path / "b")

    def found(place):
        return data_facts.facts(
            *(train.load_dataset(tmp_path / place, s) for s in ("train", "test"))
        )

    data_facts.record(tmp_path, found("a"))
    data_facts.check(tmp_path, found("b"))  # a copy is the same data
    change(tmp_path / "b")
    words = f"since it began:\n  training: train/{name}.npy: other contents\n"
    with pytest.raises(zoo.UsageError, match=words):
        data_facts.check(tmp_path, found("b"))


def test_large_files_are_sampled_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "WHOLE", 1000)
    monkeypatch.setattr(digest, "BLOCK", 100)
    monkeypatch.setattr(digest, "BLOCKS", 4)
    path = tmp_path / "a"
    body = np.arange(5000, dtype=np.uint8)
    path.write_bytes(body.tobytes())
    whole = digest.digest([path])
    seen = []
    for i in range(0, 5000, 50):
        path.write_bytes(np.where(np.arange(5000) == i, 255 - body, body).astype(np.uint8))
        if digest.digest([path]) != whole:
            seen.append(i)
    assert seen == [0, 50, 1650, 1700, 3300, 3350, 4900, 4950]


@pytest.mark.parametrize("content", ["", "[]", '{"training": 3}'])
def test_a_record_that_cannot_be_read_is_a_sentence(tmp_path, content):
    (tmp_path / data_facts.NAME).write_text(content)
    digits = train.load_dataset("zoo_digits", "test")
    with pytest.raises(zoo.UsageError, match="cannot be read"):
        data_facts.check(tmp_path, data_facts.facts(digits, digits))


def test_a_new_name_of_the_folder_is_a_change_of_the_config(begun):
    config, folder = begun
    moved = folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(zoo.UsageError, match=r"`dataset`: .*pictures' there, .*elsewhere' here"):
        train.fit(dataclasses.replace(config, dataset=str(moved)))
