"""A linear probe: scikit-learn's answers, an ordinary checkpoint, and nothing else has moved."""

import json

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import checkpoints
import train
from jax_functional_zoo.__main__ import main
from train.logistic import logistic_regression
from train.probe import pooled_features
from zoo.errors import UsageError

WEIGHTS = "resnet8.rendered_digits"
# But for the one whose head reads distances to prototypes.
DIGITS = sorted({*checkpoints.list_weights("*.digits")} - {"prototypes_nano.digits"})
FAST = ("resnet8.digits", "tnt_nano.digits")


def scikit_learn(features, labels, c=1.0):
    """The fitted estimator, and its mean loss with the penalty."""
    found = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(features, labels)
    likely = found.predict_proba(features)[np.arange(len(labels)), labels]
    loss = -np.log(likely).mean() + (found.coef_**2).sum() / (2 * c * len(labels))
    return found, loss


@pytest.fixture(scope="module")
def digits():
    return {split: train.load_dataset("zoo_digits", split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def probed(digits):
    loaded = checkpoints.load(WEIGHTS)
    return loaded, train.probe(loaded, digits["train"])


def test_the_probe_gives_scikit_learns_answers(digits, probed):
    loaded, found = probed
    features = {
        split: pooled_features(*loaded[:2], data, preprocess=loaded.preprocess)
        for split, data in digits.items()
    }
    reference, loss = scikit_learn(*features["train"])
    images = [digits["test"][i]["input"] for i in range(360)]
    answers = train.predict(*found[:2], images, preprocess=found.preprocess).argmax(axis=-1)
    assert (answers == reference.predict(features["test"][0])).sum() >= 359
    assert found.card.source["loss"] == pytest.approx(loss, abs=1e-5)


def test_all_but_the_head_stays_bit_for_bit(probed):
    loaded, found = probed
    same = jax.tree.map(lambda a, b: bool((a == b).all()), loaded.variables, found.variables)
    head = same["params"].pop("head")
    assert all(jax.tree.leaves(same))
    assert not any(jax.tree.leaves(head))


@pytest.mark.parametrize(("classes", "c"), [(2, 1.0), (2, 0.1), (3, 10.0)])
def test_logistic_regression_is_scikit_learns(classes, c):
    draw = np.random.default_rng(0)
    features = draw.normal(size=(60, 4)).astype(np.float32) * [1, 10, 0.1, 1]
    labels = (features[:, 0] + draw.normal(size=60) > 0) + 1 * (features[:, 3] > 1) * (classes > 2)
    reference, loss = scikit_learn(features, labels, c)
    found = logistic_regression(features, labels, classes=classes, c=c, tolerance=1e-10)
    logits = features @ found.kernel + found.bias
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected = reference.predict_proba(features)
    np.testing.assert_allclose(odds / odds.sum(axis=-1, keepdims=True), expected, atol=1e-6)
    assert found.loss == pytest.approx(loss, abs=1e-9)
    assert found.gradient < 1e-10


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in DIGITS]
)
def test_features_are_what_the_head_of_each_family_reads(name, digits):
    loaded, few = checkpoints.load(name), train.few_shot(digits["test"], 1, 0)
    features, labels = pooled_features(*loaded[:2], few, preprocess=loaded.preprocess)
    head = loaded.variables["params"]["head"]
    images = [few[i]["input"] for i in range(10)]
    likely = train.predict(*loaded[:2], images, preprocess=loaded.preprocess)
    logits = features @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    np.testing.assert_allclose(jax.nn.softmax(logits), likely, atol=1e-5)
    assert labels.tolist() == [few[i]["label"] for i in range(10)]


def test_what_a_command_saves_is_an_ordinary_checkpoint(tmp_path, capsys):
    out = tmp_path / "probe"
    options = ["--weights", WEIGHTS, "--dataset", "zoo_digits", "--per-class", "5", "--json"]
    for command in (["probe"], ["finetune", "--probe"]):
        assert main([*command, *options, "--out", str(out / command[0])]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["top1"] > 0.9  # the pixels themselves: 0.865
        assert main(["evaluate", "--weights", str(out / command[0]), "--json"]) == 0
        assert json.loads(capsys.readouterr().out).items() <= printed.items()
    cards = [checkpoints.load(out / name).card for name in ("probe", "finetune")]
    assert cards[0].trained_on == "zoo_digits:train"
    assert cards[0].metrics == cards[1].metrics


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["probe", "--c", "0"], "`--c` must be positive and finite, got 0.0"),
        (["probe", "--dataset", "zoo_digits"], "`--weights` is needed"),
        (["finetune", "--probe", "--steps", "3"], "`--steps` is for training"),
        (["finetune", "--probe", "--freeze", "stem"], "`--parameters` is for training"),
    ],
)
def test_wrong_probes_are_a_sentence(arguments, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("card.json"))


def test_a_probe_wants_classes_and_the_same_number_of_them(probed):
    loaded, _ = probed
    bags = train.load_dataset("zoo_digit_bags")
    with pytest.raises(UsageError, match="tells 10 classes apart, and 'zoo_digit_bags' has 2"):
        train.probe(loaded, bags)
    with pytest.raises(UsageError, match="features must be finite"):
        logistic_regression(np.full((2, 1), np.nan), np.arange(2), classes=2)
