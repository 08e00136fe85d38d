"""Series of numbers from folders of arrays and from tensorflow-datasets, and their recipes."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds

import checkpoints
import train
import zoo
from checkpoints.preprocess import Preprocess, SequencePreprocess
from train.recipes import RECIPES, lssl

FAST = ("lssl_bidmc",)
PUBLISHED = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in lssl.RECIPES
]


class Words(tfds.core.GeneratorBasedBuilder):
    """Waves as `speech_commands` has them, in which they are called audio."""

    name = "words"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16),
            "label": tfds.features.ClassLabel(names=["yes", "no"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("audio", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(8), "test": self._generate_examples(4)}

    def _generate_examples(self, count):
        rng = np.random.default_rng(count)
        for i in range(count):
            wave = rng.integers(-2000, 2000, 40 + i).astype(np.int16)
            yield i, {"audio": wave, "label": i % 2}


@pytest.fixture
def words(tmp_path):
    Words(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    return tmp_path


def as_audio(home):
    """The same data set as if its waves had been declared as audio, which is stored alike."""
    path = next(home.glob("words/*/features.json"))
    features = json.loads(path.read_text())
    wave = features["featuresDict"]["features"]["audio"]
    tensor = wave.pop("tensor")
    wave["pythonClassName"] = "tensorflow_datasets.core.features.audio_feature.Audio"
    wave["audio"] = {"shape": tensor["shape"], "dtype": "int16", "encoding": "NONE"}
    path.write_text(json.dumps(features))
    return home


@pytest.fixture
def folder(tmp_path):
    """Writes a folder of arrays."""

    def write(name, shape, classes=None):
        rng = np.random.default_rng(0)
        for split, count in (("train", 8), ("test", 3)):
            home = tmp_path / name / split
            home.mkdir(parents=True)
            inputs = 5 + 2 * rng.standard_normal((count, *shape), np.float32)
            np.save(home / "inputs.npy", inputs)
            targets = inputs.reshape(count, -1)[:, 0] if classes is None else np.arange(count) % 2
            np.save(home / "targets.npy", targets)
        if classes:
            (tmp_path / name / "classes.txt").write_text("\n".join(classes) + "\n")
        return str(tmp_path / name)

    return write


def test_a_folder_of_arrays_is_read(folder):
    data = train.load_dataset(folder("a", (6, 2), ["calm", "wild"]), "train[:50%]")
    assert (len(data), data.class_names) == (4, ("calm", "wild"))
    example = data[1]
    assert (example["input"].shape, example["input"].dtype) == ((6, 2), np.float32)
    assert example["label"] == 1
    numbers = train.load_dataset(folder("b", (7,)), "test")
    assert numbers.class_names == ("value",)
    assert numbers[0]["input"].shape == (1, 7)
    assert numbers[0]["label"] == pytest.approx(float(numbers[0]["input"][0, 0]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda home: np.save(home / "targets.npy", np.zeros(3)), "one target each, got"),
        (lambda home: (home / "targets.npy").write_text("none"), "must be an array"),
        (lambda home: np.save(home / "targets.npy", np.array(["a"] * 8)), "must hold numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_a_sentence(change, words, folder, tmp_path):
    name = folder("a", (6, 2))
    change(tmp_path / "a" / "train")
    with pytest.raises(zoo.UsageError, match=words):
        train.load_dataset(name, "train")
    with pytest.raises(zoo.UsageError, match="no split 'val'; it has 'train', 'test'"):
        train.load_dataset(name, "val")


def test_waves_of_tensorflow_datasets_are_read(words):
    data = train.load_dataset("words", "train", data_dir=words)
    assert data.class_names == ("yes", "no")
    assert [data[i]["input"].shape for i in (0, 7)] == [(40, 1), (47, 1)]
    assert data[3]["label"] == 1


def test_audio_without_tensorflow_is_a_sentence(words):
    if importlib.util.find_spec("tensorflow"):
        assert train.load_dataset("words", "train", data_dir=as_audio(words))[0]["label"] == 0
        return
    with pytest.raises(zoo.UsageError, match="is read with tensorflow only: pip install"):
        train.load_dataset("words", "train", data_dir=as_audio(words))


def test_embedded_tables_are_rows_of_one_step():
    data = train.load_dataset("zoo_tables/wine", "train")
    assert (len(data), data[0]["input"].shape, len(data.class_names)) == (106, (1, 13), 3)


def test_a_sequence_is_cut_or_filled_and_standardised():
    preprocess = SequencePreprocess(mean=(1.0, 2.0), std=(2.0, 4.0), length=3)
    series = np.array([[3.0, 2.0], [1.0, 6.0]])
    np.testing.assert_array_equal(preprocess(series), [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(preprocess(np.tile(series, (2, 1))), [[1, 0], [0, 1], [1, 0]])
    values = json.loads(json.dumps(dataclasses.asdict(preprocess)))
    assert Preprocess.from_dict(values) == preprocess
    with pytest.raises(zoo.UsageError, match=r"must have the shape \(length, 2\)"):
        preprocess(series[:, :1])


SMALL = {"width": 4, "state_size": 4, "depth": 1}


@pytest.fixture
def small(monkeypatch):
    """Every architecture of the catalogue with few features, states and blocks."""
    create = zoo.create_model
    monkeypatch.setattr(zoo, "create_model", lambda name, **kw: create(name, **SMALL | kw))


def stand_in(name, folder, words):
    """Data of the recipe's kind, a few examples of it."""
    if "speech" in name:
        return {"dataset": "words", "data_dir": str(words)}
    if "bidmc" in name:
        return {"dataset": folder("bidmc", (40, 2))}
    return {"dataset": "zoo_digits", "train_split": "train[:64]", "eval_split": "test[:20]"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_runs(name, small, folder, words, tmp_path):
    options = stand_in(name, folder, words) | {"epochs": None, "steps": 2, "batch_size": 8}
    recipe = RECIPES[name]
    result = train.fit(dataclasses.replace(recipe, out=str(tmp_path / "run"), **options))
    assert np.isfinite(result.metrics["loss"])
    if "bidmc" in name:
        assert result.metrics["rmse"] == pytest.approx(result.metrics["loss"] ** 0.5)
    else:
        assert 0 <= result.metrics["top1"] <= 1
    loaded = checkpoints.load(result.directory)
    data = train.load_dataset(options["dataset"], "test", data_dir=options.get("data_dir"))
    one = jnp.asarray(loaded.preprocess(data[0]["input"]))[None]
    assert loaded.model.apply(loaded.variables, one, train=False).shape == (
        1,
        len(data.class_names),
    )


def test_images_options_and_networks_are_refused_for_series(folder):
    config = train.Config(model="lssl_nano", dataset=folder("a", (6, 2)), steps=1, batch_size=8)
    for options, words in (
        ({"image_size": 8}, "`image_size` is for images"),
        ({"model": "resnet8"}, "reads images"),
        ({"per_class": 1}, "`per_class` is for data sets of classes"),
    ):
        with pytest.raises(zoo.UsageError, match=words):
            train.fit(dataclasses.replace(config, **options))


def test_pretrained_series_are_compared_with_scratch_and_take_no_options_for_images(tmp_path):
    wine = {"dataset": "zoo_tables/wine", "steps": 1, "batch_size": 8}
    fields = {"overrides": {"dropout": 0.25}}
    first = train.Config(model="hopfield_lookup_nano", out=str(tmp_path / "a"), **wine, **fields)
    train.fit(first)
    config = train.Config(weights=str(tmp_path / "a"), out=str(tmp_path / "b"), **wine)
    scratch = train.finetune(config, compare_scratch=True)
    assert scratch.scratch["count"] == 36
    card = checkpoints.load(tmp_path / "b" / "from_scratch").card
    assert (card.architecture, card.overrides) == ("hopfield_lookup_nano", {"dropout": 0.25})
    for change, words in (
        ({"image_size": 9}, "`image_size` is for images, and zoo_tables/wine holds series"),
        ({"augment": train.Augment(rotate=9.0, flip=True)}, "`rotate`, `flip` are for images"),
        ({"weights": "resnet8.digits"}, "read images, and zoo_tables/wine holds series of numbers"),
        ({"dataset": "zoo_digits"}, "read series of numbers, and zoo_digits holds images"),
    ):
        with pytest.raises(zoo.UsageError, match=words):
            train.fit(dataclasses.replace(config, out=str(tmp_path / "c"), **change))


def test_splits_of_arrays_are_added_and_cut(folder):
    home = Path(folder("a", (6, 2), ["calm", "wild"]))
    (home / "test").rename(home / "val")
    whole, part = (
        train.load_dataset(home, s) for s in ("train+validation", "train[-1:] + val[50%:]")
    )
    assert (len(whole), len(part)) == (11, 2)
    rows = [np.load(home / split / "inputs.npy") for split in ("train", "val")]
    np.testing.assert_array_equal([x["input"] for x in whole], np.concatenate(rows))
    assert [x["label"] for x in whole] == [i % 2 for i in (*range(8), *range(3))]
    np.testing.assert_array_equal([x["input"] for x in part], [rows[0][-1], rows[1][2]])
    for split, words in (
        ("train[:0]", "holds no examples"),
        ("train[:101%]", "at most 100%, got 101%"),
        ("train+best", r"no split 'best'; it has 'train', 'val', slices"),
    ):
        with pytest.raises(zoo.UsageError, match=words):
            train.load_dataset(home, split)
    np.save(home / "val/inputs.npy", np.zeros((3, 6, 5), np.float32))
    with pytest.raises(zoo.UsageError, match=r"as many channels, got {'train': 2, 'val': 5}"):
        train.load_dataset(home, "train+val")
