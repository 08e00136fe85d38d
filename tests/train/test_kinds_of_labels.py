"""Any of several classes, and numbers: the figures, the data that says so, and whole runs."""

import json

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score

import checkpoints
import train
from checkpoints.card import Card
from jax_functional_zoo.__main__ import main
from tests.train.test_data_labels import Listed
from train.data.pairing import paired
from train.data.relabelled import as_task
from train.task import Mixture, judged, mean_average_precision, of_card
from zoo.errors import UsageError

SMALL = ["--model", "resnet8", "--set", "stage_sizes=[1]", "width=8", "--batch-size", "32"]
PIXELS = checkpoints.Preprocess(image_size=8, crop_pct=1.0, mean=(0.5,), std=(0.5,))


@pytest.fixture
def draw():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Digits as files, with tables: which of three features each has, and its number."""
    root = tmp_path_factory.mktemp("listed")
    data = train.load_dataset("zoo_digits", "test")
    rows = {"labels": [], "target": [], "label": []}
    for i in range(90):
        image, digit = data[i]["input"], data[i]["label"]
        has = {"even": digit % 2 == 0, "round": digit in (0, 6, 8, 9), "large": digit > 4}
        rows["labels"].append((f"a/{i}.png", ";".join(name for name in has if has[name])))
        rows["target"].append((f"a/{i}.png", digit / 2))
        rows["label"].append((f"a/{i}.png", "even" if has["even"] else "odd"))
        for column in rows:
            (root / column / "a").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(root / column / f"a/{i}.png")
    for column, table in rows.items():
        text = "".join(f"{name},{value}\n" for name, value in [("file", column), *table])
        (root / column / "labels.csv").write_text(text)
    return root


@pytest.mark.parametrize("tied", [False, True])
def test_mean_average_precision_is_scikit_learns(tied, draw):
    labels = (draw.random((200, 7)) < draw.random(7)).astype(np.float32)
    scores = draw.normal(size=labels.shape) + labels
    scores = scores.round() if tied else scores
    expected = average_precision_score(labels, scores, average="macro")
    assert mean_average_precision(scores, labels) == pytest.approx(expected, abs=1e-9)
    without = np.concatenate([labels, np.zeros((200, 1))], axis=1)  # scikit-learn warns of it
    both = mean_average_precision(np.concatenate([scores, scores[:, :1]], axis=1), without)
    assert both == pytest.approx(expected * 7 / 8, abs=1e-9)


def test_the_loss_of_several_classes_is_the_mean_of_binary_ones(draw):
    logits, labels = draw.normal(size=(5, 3)), draw.integers(0, 2, (5, 3)).astype(np.float32)
    p = 1 / (1 + np.exp(-logits))
    expected = -np.where(labels, np.log(p), np.log(1 - p)).mean(axis=1)
    found = train.MULTILABEL.loss(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    low = train.MULTILABEL.loss(jnp.asarray(logits, jnp.bfloat16), jnp.asarray(labels))
    assert low.dtype == jnp.float32


def first_pixels(count):
    """A network that answers with some pixels."""

    class First(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            del train
            return images.reshape(len(images), -1)[:, 8 : 8 + count]

    return First()


@pytest.mark.parametrize("batch_size", [8, 64, 1000])
def test_evaluation_is_exact_whatever_the_batch_and_the_devices(batch_size, listed):
    options = {"preprocess": PIXELS, "batch_size": batch_size}
    for column, count in (("labels", 3), ("target", 1)):
        data = train.load_dataset(listed / column, "all")
        images = np.stack([PIXELS(data[i]["input"]) for i in range(90)])
        outputs = images.reshape(90, -1)[:, 8 : 8 + count]
        labels = np.stack([data[i]["label"] for i in range(90)])
        found = train.evaluate(first_pixels(count), {}, data, **options)
        assert found["count"] == 90
        if column == "labels":
            expected = average_precision_score(labels, outputs, average="macro")
            assert found["map"] == pytest.approx(expected, abs=1e-9)
        else:
            assert found["r2"] == pytest.approx(r2_score(labels, outputs[:, 0]), rel=1e-5)
            assert found["mae"] == pytest.approx(mean_absolute_error(labels, outputs[:, 0]))
            assert found["rmse"] == pytest.approx(found["loss"] ** 0.5)


def test_tables_name_what_labels_are(listed):
    several = train.load_dataset(listed / "labels", "train")
    assert (several.task, several.class_names) == ("multilabel", ("even", "large", "round"))
    assert (len(several), several[0]["label"].shape) == (72, (3,))
    one = train.load_dataset(listed / "label", "test")
    assert (one.task, one.class_names, len(one)) == ("classes", ("even", "odd"), 18)
    number = train.load_dataset(listed / "target", "all")
    assert (number.task, number.class_names) == ("numbers", ("value",))
    whole = [train.load_dataset(listed / "label", split) for split in ("train", "test", "all")]
    assert len(whole[0]) + len(whole[1]) == len(whole[2]) == 90
    batch = next(train.eval_batches(several, preprocess=PIXELS, batch_size=50))
    assert batch["label"].shape == (50, 3)
    assert batch["label"].dtype == np.float32


def test_arrays_may_have_any_number_of_classes_each(tmp_path, draw):
    for split, count in (("train", 16), ("test", 8)):
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "inputs.npy", draw.normal(size=(count, 5, 2)))
        np.save(tmp_path / split / "labels.npy", draw.random((count, 3)) > 0.5)
    data = train.load_dataset(tmp_path, "train")
    assert (data.task, data.class_names) == ("multilabel", ("0", "1", "2"))
    assert data[3]["label"].tolist() == np.load(tmp_path / "train/labels.npy")[3].tolist()
    np.save(tmp_path / "train" / "targets.npy", np.zeros(16))
    with pytest.raises(UsageError, match=r"has targets.npy and labels.npy; take one of them away"):
        train.load_dataset(tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,kind\n1.png,a\n", "must begin with a line of two columns, file and one of label"),
        ("file,labels\n1.png,a,b\n", "must have two columns, got '1.png,a,b'"),
        ("file,labels\n", "lists no files"),
        ("", "must begin with a line of two columns"),
        ("file,labels\n1.png,a\n1.png,b\n", "lists 1.png twice"),
        ("file,labels\n1.png,a\n9.png,b\n", "9.png' which is not there"),
        ("file,label\n1.png,a;b\n2.png,a\n", "says 'a;b' where one class is wanted"),
        ("file,label\n1.png,a\n2.png,a\n", "must name classes, got a"),
        ("file,target\n1.png,a\n2.png,a\n", "must be a number, got 'a'"),
    ],
)
def test_tables_that_are_none_are_a_sentence(text, said, tmp_path):
    for name in ("1.png", "2.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        train.load_dataset(tmp_path, "all")


def test_classes_are_told_as_another_task():
    data = Listed((0, 2), class_names=("1", "2.5", "9"))
    assert as_task(data, None) is data
    assert as_task(data, "multilabel")[1]["label"].tolist() == [0, 0, 1]
    numbers = as_task(data, "regression")
    assert [numbers[i]["label"] for i in range(2)] == [1.0, 9.0]
    assert (numbers.task, numbers.class_names) == ("numbers", ("value",))
    with pytest.raises(UsageError, match="the class 'a' of 'listed' is none"):
        as_task(Listed((0,)), "regression")
    with pytest.raises(UsageError, match="`task` classes is not that of 'listed'"):
        as_task(Listed((0.5,), task="numbers"), "classes")


def test_several_classes_are_paired_by_name():
    card = Card("w", "resnet8", num_classes=3, class_names=("dog", "Cat", "owl"), task="multilabel")
    vector = np.array([1, 0], np.float32)
    found = paired(Listed((vector,), class_names=("cat", "dog"), task="multilabel"), card)
    assert found[0]["label"].tolist() == [0, 1, 0]
    one = paired(Listed((0,), class_names=("owl",)), card)  # of weights for any number of classes
    assert (one.task, one[0]["label"].tolist()) == ("multilabel", [0, 0, 1])


@pytest.mark.parametrize(
    ("column", "figure", "least"), [("labels", "map", 0.8), ("target", "r2", 0.3)]
)
def test_a_run_is_evaluated_and_answers_in_its_own_kind(
    column, figure, least, listed, tmp_path, capsys
):
    run, data = str(tmp_path / "run"), str(listed / column)
    options = ["--epochs", "60", "--learning-rate", "0.01", "--out", run, "--json"]
    assert main(["train", *SMALL, "--dataset", data, *options]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured[figure] > least
    assert main(["evaluate", "--weights", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[figure] == pytest.approx(measured[figure])
    file = str(listed / column / "a" / "0.png")
    assert main(["predict", "--weights", run, file, "--save", str(tmp_path / "a.png")]) == 0
    capsys.readouterr()
    assert main(["predict", "--weights", run, file, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    loaded = checkpoints.load(run)
    (row,) = train.predict(
        *loaded[:2], [file], preprocess=loaded.preprocess, task=of_card(loaded.card)
    )
    if column == "target":
        assert told["value"] == pytest.approx(row[0])
    else:
        named = {one["class"]: one["probability"] for one in told["top"]}
        assert list(named.values()) == pytest.approx(sorted(row, reverse=True))
        assert sum(row) != pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--class-weights", "balanced"], "`--class-weights` is for one class of several"),
        (["--label-smoothing", "0.1"], "`--label-smoothing` is for one class of several"),
        (["--objective", "focal"], "`--objective` focal is for one class of several"),
        (["--per-class", "1"], "`--per-class` is for data sets of classes"),
        (["--task", "regression"], "`--task` regression is not that of"),
    ],
)
def test_what_is_for_one_class_is_refused_for_several(options, said, listed, tmp_path, capsys):
    out = tmp_path / "run"
    data = ["--dataset", str(listed / "labels"), "--out", str(out), "--steps", "1"]
    assert main(["train", *SMALL, *data, *options]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_config_tells_digits_as_numbers():
    config = train.Config(model="resnet8", dataset="zoo_digits", task="regression", steps=1)
    planned = train.plan(config)
    data, card = planned.training, planned.network.card
    assert data[0]["label"] == float(train.load_dataset("zoo_digits")[0]["label"])
    assert (card.task, card.num_classes, card.class_names) == ("numbers", 1, ("value",))
    again = paired(train.load_dataset("zoo_digits", "test"), card)  # as `zoo evaluate` does
    assert again[0]["label"] == planned.evaluation[0]["label"]


def test_mixed_labels_of_several_classes_are_trained_on():
    logits, first, second = jnp.ones((2, 3)), jnp.eye(3)[:2], jnp.eye(3)[1:]
    mixed = Mixture(first, second, jnp.array([0.25, 1.0]))
    found = judged(train.MULTILABEL.loss, logits, mixed)
    plain = optax.sigmoid_binary_cross_entropy(logits, 0.25 * first + 0.75 * second).mean(-1)
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-6)
