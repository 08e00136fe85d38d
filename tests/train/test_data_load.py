"""Data sets of tensorflow-datasets: what is read, and what is said when it cannot be."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from checkpoints import installation
from train.data import Dataset, digits, evaluation_split, load_dataset, splits
from zoo.errors import UsageError

IMAGES, LABELS = digits.load()
SPLITS = digits.split_indices(LABELS)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tensorflow_datasets")


class Tiny(tfds.core.GeneratorBasedBuilder):
    """Twelve colour images, with unusual names of features and no labels for testing."""

    name = "tiny_colours"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "picture": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "kind": tfds.features.ClassLabel(names=["red", "green"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("picture", "kind"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(True), "test": self._generate_examples(False)}

    def _generate_examples(self, labelled):
        for i in range(12):
            pixels = np.full((4 + i, 5, 3), i, np.uint8)
            mask = digits.encode_png(pixels[..., :1])
            # A grey file in a colour data set, as ImageNet has some.
            yield i, {"picture": mask, "mask": mask, "kind": i % 2 if labelled else -1}


class Boxes(Tiny):
    """A data set with no class per image."""

    name = "tiny_boxes"

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "box": tfds.features.BBoxFeature(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, labelled):
        box = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
        yield 0, {"image": digits.encode_png(np.zeros((4, 4, 1), np.uint8)), "box": box}


def prepare(builder, data_dir):
    from train.data.prepared import quiet

    builder = builder(data_dir=str(data_dir), file_format="array_record")
    with quiet():
        builder.download_and_prepare()
    return builder


def test_digits_are_prepared_in_silence_on_first_use(data_dir, capfd):
    data = load_dataset("zoo_digits", data_dir=data_dir)
    data[0]
    assert capfd.readouterr() == ("", "")
    assert isinstance(data, Dataset)
    assert (data.name, data.split, data.skipped) == ("zoo_digits", "train", 0)
    assert data.class_names == tuple("0123456789")
    assert list(data_dir.glob("zoo_digits/*/*.array_record*"))


def test_the_split_of_digits_is_fixed(data_dir):
    assert splits("zoo_digits", data_dir) == ("train", "validation", "test")
    seen = []
    for split, size in {"train": 1077, "validation": 360, "test": 360}.items():
        data, indices = load_dataset("zoo_digits", split, data_dir=data_dir), SPLITS[split]
        assert len(data) == len(indices) == size
        images = np.stack([example["input"] for example in data])
        np.testing.assert_array_equal(images, IMAGES[indices])
        labels = [example["label"] for example in data]
        np.testing.assert_array_equal(labels, LABELS[indices])
        assert np.ptp(np.bincount(labels) / size - np.bincount(LABELS) / 1797) < 0.01
        seen += indices.tolist()
    assert sorted(seen) == list(range(1797))
    assert SPLITS["test"][:8].tolist() == [21, 24, 28, 34, 35, 37, 39, 42]
    assert [int(part.sum()) for part in SPLITS.values()] == [945148, 330614, 337944]


def test_slices_and_evaluation_splits(data_dir):
    assert len(load_dataset("zoo_digits", "train[:10%]", data_dir=data_dir)) == 108
    assert len(load_dataset("zoo_digits", "train+test", data_dir=data_dir)) == 1437
    assert evaluation_split("zoo_digits", data_dir) == "test"


def test_a_data_set_with_other_names_and_sizes(data_dir):
    prepare(Tiny, data_dir)
    data = load_dataset("tiny_colours", data_dir=data_dir)
    assert data.class_names == ("red", "green")
    assert [example["label"] for example in data] == [0, 1] * 6
    assert [data.label(i) for i in range(4)] == [0, 1, 0, 1]
    for i, example in enumerate(data):
        assert example["input"].shape == (4 + i, 5, 3)
        assert (example["input"] == i).all()


def test_a_test_split_without_labels_is_not_for_evaluation(data_dir):
    prepare(Tiny, data_dir)
    with pytest.raises(UsageError, match=r"no labelled split .* 'train', 'test'.*train\[90%:\]"):
        evaluation_split("tiny_colours", data_dir)


def test_preparing_and_reading_imports_no_tensorflow(tmp_path):
    code = (
        "import sys; from train.data import load_dataset; "
        f"print(load_dataset('zoo_digits', data_dir={str(tmp_path)!r})[0]['input'].shape, "
        "'tensorflow' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("(8, 8, 1) False\n", "")


def test_importing_the_package_is_cheap():
    code = (
        "import sys, train.data, train.augment; print(*{'grain', 'tensorflow_datasets', "
        "'sklearn', 'matplotlib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "\n"


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("zoo_digit", "train", "unknown data set 'zoo_digit'.*did you mean 'zoo_digits'"),
        ("Bad-Name", "train", "unknown data set 'Bad-Name'"),
        ("zoo_digits/large", "train", "unknown data set 'zoo_digits/large'; there is zoo_digits"),
        ("zoo_digits", "trian", "no split 'trian'; it has 'train', 'validation', 'test', and"),
        ("zoo_digits", "train[:", r"no split 'train\[:'"),
        ("tiny_boxes", "train", "no pair of an image and one class label, it holds 'box', 'image'"),
    ],
)
def test_requests_that_cannot_be_met(data_dir, name, split, message):
    prepare(Boxes, data_dir)
    with pytest.raises(UsageError, match=message):
        load_dataset(name, split, data_dir=data_dir)


def test_the_version_of_an_embedded_data_set_may_be_named(tmp_path):
    data = load_dataset("zoo_tables/wine:1.0.0", "train+validation[:50%]", data_dir=tmp_path)
    assert len(data) == 106 + 18
    with pytest.raises(UsageError, match=r"there is zoo_digits:1\.0\.0$"):
        load_dataset("zoo_digits:2.0.0")
    words = "there is zoo_tables/breast_cancer:1.0.0, zoo_tables/wine:1.0.0"
    with pytest.raises(UsageError, match=words):
        load_dataset("zoo_tables/beer:1.0.0", data_dir=tmp_path)


def test_a_known_data_set_that_is_not_prepared(data_dir):
    with pytest.raises(UsageError) as caught:
        load_dataset("oxford_iiit_pet", data_dir=data_dir)
    assert str(caught.value).endswith(
        f'{installation.command("tensorflow")} && python -c "import tensorflow_datasets as '
        "tfds; tfds.builder('oxford_iiit_pet', file_format='array_record', "
        f"data_dir='{data_dir}').download_and_prepare()\""
    )


def test_a_tfrecord_directory_gets_the_command_that_converts_it(tmp_path):
    folder = prepare(Tiny, tmp_path).data_path
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "tfrecord"}))
    for path in folder.glob("*.array_record*"):
        path.rename(path.with_name(path.name.replace("array_record", "tfrecord")))
    with pytest.raises(UsageError) as caught:
        load_dataset("tiny_colours", data_dir=tmp_path)
    assert "is stored as tfrecord" in str(caught.value)
    assert str(caught.value).endswith(
        f'{installation.command("tensorflow")} apache-beam && python -c "from '
        "tensorflow_datasets.scripts.cli.convert_format_utils import convert_dataset; "
        f"convert_dataset(None, 'array_record', dataset_version_dir='{folder}')\""
    )


def test_a_data_dir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write data set 'zoo_digits' to .*TFDS_DATA_DIR"):
        load_dataset("zoo_digits", data_dir=tmp_path / "file")


def test_a_name_that_is_also_a_folder_means_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    with pytest.raises(UsageError, match="folder 'mnist' has no images"):
        load_dataset("mnist")
    (tmp_path / "zoo_digits").mkdir()
    assert len(load_dataset("zoo_digits", data_dir=tmp_path / "data")) == 1077
