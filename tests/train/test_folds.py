"""Parts of the training data to be measured by, cross-validation, and when a run ends early."""

import dataclasses
import json

import numpy as np
import pytest

import checkpoints
import train
import zoo
from jax_functional_zoo.__main__ import main
from train.data import parts
from train.data.dataset import label
from train.evaluations import stalled

TINY = {"stage_sizes": [1], "width": 4}


@pytest.fixture(scope="module")
def digits():
    return train.load_dataset("zoo_digits")


def classes(data):
    return np.bincount([label(data, n) for n in range(len(data))], minlength=10)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.9])
def test_a_share_is_cut_out_of_each_class(digits, share):
    rest, part = parts.cut(digits, share, seed=3)
    assert sorted(rest.indices + part.indices) == list(range(len(digits)))
    assert len(part) == int(len(digits) * share)
    assert np.abs(classes(part) - share * classes(digits)).max() <= 1
    assert parts.cut(digits, share, seed=3)[1].indices == part.indices
    assert parts.cut(digits, share, seed=4)[1].indices != part.indices


def test_folds_are_a_partition_of_equal_parts(digits):
    pairs = [parts.fold(digits, 4, n, seed=0) for n in range(4)]
    assert sorted(sum((part.indices for _, part in pairs), ())) == list(range(len(digits)))
    for rest, part in pairs:
        assert set(rest.indices).isdisjoint(part.indices)
        assert len(rest) + len(part) == len(digits)
        assert np.abs(classes(part) - classes(digits) / 4).max() <= 1
    assert {len(part) for _, part in pairs} == {269, 270}


def test_a_run_is_evaluated_on_its_validation_part(digits):
    config = train.Config(model="resnet8", overrides=TINY, dataset="zoo_digits", validation=0.1)
    planned = train.plan(config)
    rest, part = parts.cut(digits, 0.1, config.seed)
    assert planned.training.indices == rest.indices
    assert planned.evaluation.indices == part.indices
    few = train.plan(dataclasses.replace(config, per_class=5))
    assert len(few.training) == 50
    assert len(few.evaluation) == 107


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"validation": 1.0}, "`validation` must be above 0 and below 1"),
        ({"validation": 1e-6}, "`validation` must leave examples in both parts"),
        ({"validation": 0.1, "eval_split": "test"}, "give `validation` or `eval_split`, not both"),
        ({"folds": 1}, "`folds` must be at least 2"),
        ({"folds": 3, "fold": 3}, "`fold` must be below `folds`, got 3 and 3"),
        ({"fold": 0}, "`fold` must be below `folds`, got 0 and None"),
        ({"folds": 3}, "`folds` needs `fold`"),
        ({"folds": 2000, "fold": 0}, "`folds` must be at most the 1077 examples"),
        ({"early_stop": 0}, "`early_stop` must be positive"),
    ],
)
def test_parts_that_cannot_be_are_a_sentence(fields, said):
    with pytest.raises(zoo.UsageError, match=said):
        train.plan(train.Config(model="resnet8", dataset="zoo_digits", **fields))


def test_every_example_is_evaluated_once_over_all_folds(tmp_path, capsys):
    options = ["train", "--model", "resnet8", "--set", "stage_sizes=[1]", "width=4", "--dataset"]
    options += ["zoo_digits", "--steps", "2", "--folds", "2", "--batch-size", "16"]
    assert main([*options, "--out", str(tmp_path / "folds"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [fold["count"] for fold in found["folds"]] == [539, 538]
    top1 = [fold["top1"] for fold in found["folds"]]
    assert found["top1"]["mean"] == pytest.approx(np.mean(top1))
    assert found["top1"]["deviation"] == pytest.approx(np.std(top1, ddof=1))
    assert main([*options, "--out", str(tmp_path / "folds"), "--resume"]) == 0
    assert "deviation" in capsys.readouterr().out
    assert main(options) == 2
    assert "cross-validation needs `--folds` and `--out`" in capsys.readouterr().err


def test_stalled_evaluations_are_counted_from_the_best():
    rows = [{"step": n, "loss": 1.0} for n in range(3)]
    assert stalled(rows, "top1") == 0
    for top1, expected in [(0.5, 0), (0.4, 1), (0.5, 2), (0.6, 0), (0.1, 1)]:
        rows.append({"step": len(rows), "loss": 9.0, "eval_top1": top1, "eval_loss": 1.0})
        rows.append({"step": len(rows), "loss": 9.0})
        assert stalled(rows, "top1") == expected
    named = [{"val/rmse": value, "val/loss": value} for value in (3.0, 2.0, 2.5)]
    assert stalled(named, "-val/rmse") == 1


def test_a_run_ends_early_and_stays_ended(tmp_path, capsys):
    """A rate of almost nothing makes no evaluation better than the first."""
    options = ["train", "--model", "resnet8", "--set", "stage_sizes=[1]", "width=4", "--dataset"]
    options += ["zoo_digits", "--batch-size", "16", "--learning-rate", "1e-12", "--out"]
    options += [str(tmp_path / "run"), "--early-stop", "2", "--eval-every", "2"]
    assert main([*options, "--steps", "40"]) == 0
    assert "ended early: 2 evaluations without a better top1" in capsys.readouterr().out
    rows = [json.loads(row) for row in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] < 40
    assert checkpoints.load(f"{tmp_path / 'run'}@{rows[-1]['step']}")
    assert main(["train", "--resume", "--out", str(tmp_path / "run")]) == 0
    again = [json.loads(row) for row in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert again == rows
