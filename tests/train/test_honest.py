"""Honest figures: equal to scikit-learn's and to hand values, with intervals that cover."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from sklearn import metrics

from jax_functional_zoo.__main__ import main
from train.honest import figures, report
from train.honest.figures import Answers
from zoo.errors import UsageError

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(4, size=200)
LOGITS = RANDOM.normal(size=(200, 5)) + 1.5 * np.eye(5)[LABELS]  # class 4 has no example
ANSWERS = Answers(LOGITS, LABELS)


def exact(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_figures_are_those_of_scikit_learn():
    found, p = figures.of_classes(ANSWERS), ANSWERS.probabilities
    given = LOGITS.argmax(axis=1)
    exact(found["accuracy"], metrics.accuracy_score(LABELS, given))
    exact(found["macro_f1"], metrics.f1_score(LABELS, given, average="macro"))
    exact(found["log_loss"], metrics.log_loss(LABELS, p, labels=range(5)))
    recall = metrics.recall_score(LABELS, given, average=None, labels=range(4))
    exact(found["balanced_accuracy"], recall.mean())
    exact(found["brier"], np.square(p - np.eye(5)[LABELS]).sum(axis=1).mean())
    rows = figures.per_class(given, LABELS, 5)
    exact(rows["recall"][:4], recall)
    assert np.isnan(rows["recall"][4])
    assert rows["count"].tolist() == [*np.bincount(LABELS), 0]


def test_the_area_under_the_curve_is_that_of_scikit_learn():
    four = Answers(LOGITS[:, :4], LABELS)
    expected = metrics.roc_auc_score(LABELS, four.probabilities, multi_class="ovr")
    exact(figures.area_under_roc(four), expected)
    assert np.isnan(figures.area_under_roc(four.take([0])))


def test_the_calibration_error_of_hand_made_bins():
    confidence = np.array([0.2, 0.2, 0.5, 0.9, 1.0])
    found = figures.calibration(confidence, np.array([True, False, False, True, True]), bins=2)
    exact(found.share, [0.6, 0.4])  # 0.5 belongs to the lower bin
    exact(found.confidence, [0.3, 0.95])
    exact(found.accuracy, [1 / 3, 1])
    exact(found.error, 0.6 * (1 / 3 - 0.3) + 0.4 * 0.05)
    perfect = figures.calibration(np.ones(3), np.ones(3, bool))
    assert perfect.error == 0
    assert np.isnan(perfect.accuracy[0])


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    """2,000 data sets of 200 answers of which 0.8 are right."""
    random, covered, right = np.random.default_rng(1), 0, np.array([1.0, 0.0])
    accuracy = lambda some: {"accuracy": some.logits.argmax(axis=1).mean()}  # noqa: E731
    for repeat in range(2000):
        hits = random.random(200) < 0.8
        logits = np.where(hits[:, None], right[::-1], right)
        answers = Answers(logits, np.zeros(200, int))
        found = figures.bootstrap(accuracy, answers, 200, seed=repeat)["accuracy"]
        covered += found.low <= 0.8 <= found.high
    assert 0.93 <= covered / 2000 <= 0.97


def test_an_interval_holds_its_figure_and_comes_again():
    found = figures.bootstrap(figures.of_classes, ANSWERS, 100)
    assert found == figures.bootstrap(figures.of_classes, ANSWERS, 100)
    for name in ("accuracy", "macro_f1", "log_loss"):
        assert found[name].low < found[name].value < found[name].high
    with pytest.raises(UsageError, match="at least 2 repeats"):
        figures.bootstrap(figures.of_classes, ANSWERS, 1)


def test_sets_of_labels():
    sets = [[0], [], [1, 2], [0, 1, 2]]
    logits = np.array([[9, 1, 0], [9, 1, 0], [9, 5, 0], [0, 1, 2.0]])
    exact(figures.real_accuracy(logits.argmax(axis=1), sets), 2 / 3)
    found = figures.variable_top_k(logits, sets)
    exact([found[f"top_of_{k}"] for k in (1, 2, 3)], [1, 0.5, 1])
    exact(found["variable_top_k"], 2.5 / 3)
    for wrong in (sets[:3], [[], [], [], []]):
        with pytest.raises(UsageError, match="set"):
            figures.variable_top_k(logits, wrong)


def test_a_planted_simplex_has_collapsed_and_noise_has_not():
    simplex = np.eye(4) - 1 / 4
    labels = np.repeat(np.arange(4), 5)
    turned = np.linalg.qr(RANDOM.normal(size=(6, 6)))[0][:4]
    planted = simplex @ turned
    found = figures.neural_collapse(planted[labels] + 3, labels, 2 * planted.T)
    assert abs(found["nc1"]) < 1e-12
    assert found["nc2"] < 1e-6
    assert found["nc3"] < 1e-6
    noisy = planted[labels] + 0.3 * RANDOM.normal(size=(20, 6))
    spread = figures.neural_collapse(noisy, labels, RANDOM.normal(size=(6, 4)))
    assert min(spread.values()) > 0.1
    with pytest.raises(UsageError, match="all 4 classes"):
        figures.neural_collapse(planted[[0, 1]], np.array([0, 1]), planted.T)


def test_improvement_over_random_networks():
    exact(figures.relative_improvement(0.9, [0.7, 0.8]), 20)


def test_answers_among_some_classes():
    few = ANSWERS._replace(classes=np.array([1, 3]))
    assert set(few.masked.argmax(axis=1)) == {1, 3}
    exact(few.probabilities.sum(axis=1), 1)
    exact(few.probabilities[:, [0, 2, 4]], 0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report of the shipped digits, with slices and sets of labels."""
    folder = tmp_path_factory.mktemp("report")
    parity = ["parity,half", *(f"{'odd' if i % 2 else 'even'},{i // 180}" for i in range(360))]
    (folder / "slices.csv").write_text("\n".join(parity))
    (folder / "sets.json").write_text(json.dumps([[i % 10] if i else [] for i in range(360)]))
    options = ["--bootstrap", "20", "--slices", folder / "slices.csv"]
    options += ["--labels", folder / "sets.json", "--report", folder / "figures"]
    words = ["evaluate", "--weights", "resnet8.digits", *map(str, options)]
    assert main(words) == 0
    return folder


def test_a_report_holds_every_figure_and_every_answer(written):
    folder = written / "figures"
    found = json.loads((folder / "report.json").read_text())
    assert found["count"] == 360
    accuracy = found["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert accuracy["value"] > 0.97
    assert found["slices"]["parity=odd"]["count"]["value"] == 180
    assert set(found["slices"]) == {"parity=even", "parity=odd", "half=0", "half=1"}
    assert 0 <= found["real"] <= 1
    with (folder / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = [row["label"] == row["answer"] for row in rows]
    exact(np.mean(right), accuracy["value"])
    table = parquet.read_table(folder / "answers.parquet").to_pylist()
    assert [row["right"] for row in table] == right
    exact(sum(table[0][f"p({k})"] for k in range(10)), 1)
    with (folder / "classes.csv").open() as file:
        exact(sum(float(row["count"]) for row in csv.DictReader(file)), 360)
    for name in ("confusion.png", "reliability.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 300


def test_the_table_shows_figures_and_slices(written):
    answers = Answers(LOGITS, LABELS)
    values = ["a", "b"] * 100
    made = report.made(answers, "vwxyz", repeats=10, attributes={"side": values})
    rows = report.rows(made)
    assert rows[0] == ["examples", "200", ""]
    assert any(row[0] == "side=b: accuracy" for row in rows)
    whole = report.as_json(report.made(answers, "vwxyz"))
    assert whole["accuracy"]["low"] is None
    assert whole["classes"]["z"]["recall"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bootstrap", "1"], "`--bootstrap` must be 0 or at least 2"),
        (["--slices", "none.csv"], "`--slices` must be a readable file"),
        (["--slices", "SETS"], "`--slices` SETS must have a row for each of 360 examples"),
        (["--labels", "SLICES"], "`--labels` SLICES must hold JSON"),
    ],
)
def test_what_cannot_be_reported_is_refused(written, options, said, capsys):
    files = {"SETS": str(written / "sets.json"), "SLICES": str(written / "slices.csv")}
    words = [files.get(word, word) for word in options]
    assert main(["evaluate", "--weights", "resnet8.digits", *words]) == 2
    for name, file in files.items():
        said = said.replace(name, file)
    assert said in capsys.readouterr().err


def test_only_the_classes_of_the_data_set_may_be_answers(pictures, capsys):
    words = [
        "evaluate",
        "--weights",
        "resnet8.digits",
        "--dataset",
        str(pictures),
        "--split",
        "all",
    ]
    renamed = {"zero": "0", "one": "1", "two": "2"}
    for name, number in renamed.items():
        (pictures / name).rename(pictures / number)
    try:
        assert main([*words, "--only-its-classes", "--json"]) == 0
    finally:
        for name, number in renamed.items():
            (pictures / number).rename(pictures / name)
    found = json.loads(capsys.readouterr().out)
    assert found["count"] == 36
    assert sum(row["count"] for row in found["classes"].values()) == 36
    assert found["classes"]["7"]["precision"] is None  # never answered
    assert jnp.isfinite(found["log_loss"]["value"])
