"""Named evaluations of a run, and which of its checkpoints stay by them."""

import csv
import dataclasses
import shutil

import jax.numpy as jnp
import pytest

import checkpoints
import train
import zoo
from checkpoints import store
from checkpoints.retention import Retention, rank
from jax_functional_zoo.__main__ import main
from tests.train.test_fit import config
from train.config import Call, Evaluation

TINY = {"model": "resnet8", "overrides": {"stage_sizes": [1], "width": 8}}
NAMED = {
    "val": Evaluation(split="validation"),
    "big": Evaluation(split="test", preprocess={"image_size": 12}),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Six steps, a checkpoint and two further evaluations at each of them."""
    place = tmp_path_factory.mktemp("runs") / "run"
    keeping = Retention(newest=1, best="-val/loss", every=2)
    often = {"eval_every": 1, "save_every": 1, "evaluations": NAMED, "retention": keeping}
    return train.fit(config(place, **TINY, **often))


def test_every_evaluation_has_figures_under_its_name(run):
    data = train.load_dataset("zoo_digits", "test")
    loaded = checkpoints.load(run.directory)
    own = train.evaluate(loaded.model, loaded.variables, data, preprocess=loaded.preprocess)
    large = dataclasses.replace(loaded.preprocess, image_size=12)
    big = train.evaluate(loaded.model, loaded.variables, data, preprocess=large)
    assert own == pytest.approx({n: v for n, v in run.metrics.items() if "/" not in n})
    assert big == pytest.approx({n: run.metrics[f"big/{n}"] for n in big})
    assert big["loss"] != own["loss"]
    assert run.metrics["val/count"] == 360
    assert run.history[-1]["val/loss"] == run.metrics["val/loss"] != own["loss"]
    assert run.history[-1]["eval_top1"] == own["top1"]
    with (run.directory / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["big/loss"]) for row in table] == [r["big/loss"] for r in run.history]
    assert loaded.card.metrics["big/top1"] == run.metrics["big/top1"]


def test_what_stays_is_the_newest_the_best_and_every_nth(run):
    losses = {row["step"]: row["val/loss"] for row in run.history}
    best = min(losses, key=losses.__getitem__)
    assert {step for step, _ in store.steps(run.directory)} == {2, 4, 6, best}
    assert checkpoints.load(f"{run.directory}@best").card.metrics["val/loss"] == losses[best]


def test_a_run_resumes_with_its_evaluations_and_what_it_keeps(run, tmp_path):
    copy = shutil.copytree(run.directory, tmp_path / "copy")
    options = ["--resume", "--out", str(copy), "--steps", "7", "--retention", "newest=1"]
    assert main(["train", *options, "best=-val/loss"]) == 0
    rows = train.metrics_log.read_rows(copy)
    assert [row["val/count"] for row in rows] == [360] * 7
    best = min(rows, key=lambda row: row["val/loss"])["step"]
    assert {step for step, _ in store.steps(copy)} == {7, best}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluations": {"a/b": Evaluation()}}, "`evaluations` must have names of letters"),
        (
            {"evaluations": NAMED, "retention": Retention(best="vla/top1")},
            "`evaluations` has no 'vla'; did you mean 'val'",
        ),
        ({"evaluations": {"x": Evaluation(split="tset")}}, "evaluation 'x': .*test"),
        ({"evaluations": {"x": Evaluation(dataset="zoo_digit")}}, "evaluation 'x': .*zoo_digits"),
        (
            {"evaluations": {"x": Evaluation(dataset="zoo_tables/wine", split="train")}},
            "evaluation 'x': the run does not know the classes",
        ),
        (
            {"evaluations": {"x": Evaluation(preprocess={"image_sise": 3})}},
            "evaluation 'x': a preprocessing has no field 'image_sise'",
        ),
        (
            {
                "model": "tnt_nano",
                "overrides": {},
                "evaluations": {"x": Evaluation(preprocess={"image_size": 12})},
            },
            r"evaluation 'x': the network does not take inputs of shape \(12, 12, 1\), and was",
        ),
    ],
)
def test_evaluations_that_cannot_be_are_sentences(changes, words, tmp_path):
    with pytest.raises(zoo.UsageError, match=words):
        train.fit(config(tmp_path / "run", **(TINY | changes)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"newest": 0}, "`newest` of at least 1, got 0"),
        ({"every": 0}, "`every` of at least 1, got 0"),
        ({"best": ""}, "must name a figure"),
        ({"best": "val/loss"}, "the lowest is the best: -val/loss"),
    ],
)
def test_what_cannot_be_kept_is_a_sentence(values, words):
    with pytest.raises(zoo.UsageError, match=words):
        Retention(**values)


def test_a_figure_that_no_evaluation_gives_is_told_once_all_is_saved(tmp_path):
    unknown = config(tmp_path, **TINY, eval_every=2, save_every=9, retention=Retention(best="top7"))
    with pytest.raises(zoo.UsageError, match=r"goes by 'top7'.*give loss, top1, top5, count"):
        train.fit(unknown)
    assert [step for step, _ in store.steps(tmp_path)] == [2]


def test_ranks():
    metrics = {"top1": 0.5, "loss": 2.0, "a/ece": 0.25, "a/loss": 3.0}
    assert rank(metrics) == (0.5, -2.0)
    assert rank(metrics, "-a/ece") == (-0.25, -3.0)
    assert rank(metrics, "-a/loss") == (-3.0, -3.0)
    assert rank(metrics, "b/top1") is None


def test_options_of_the_command_line_are_values(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr("train.cli.train.fit", lambda config, _: ran.append(config) or 1 / 0)
    start = ["train", "--model", "resnet8", "--dataset", "zoo_digits"]
    with pytest.raises(ZeroDivisionError):
        main([*start, "--evaluations", "v:split=validation", "b:image_size=12,crop_pct=0.9",
              "--retention", "newest=3", "best=-v/loss"])  # fmt: skip
    (found,) = ran
    assert found.evaluations["b"] == Evaluation(preprocess={"image_size": 12, "crop_pct": 0.9})
    assert found.evaluations["v"] == Evaluation(split="validation")
    assert found.retention == Retention(newest=3, best="-v/loss")
    train.config_file.save(found, tmp_path / "config.json")
    assert train.config_file.read(tmp_path) == found
    assert main([*start, "--retention", "newst=3"]) == 2
    assert "there is no 'newst'; did you mean 'newest'" in capsys.readouterr().err


def test_rotation_by_name_learns_and_evaluates_turns(tmp_path):
    turning = config(tmp_path / "run", **TINY, steps=2, objective=(Call("rotation"),))
    result = train.fit(turning)
    assert result.metrics["count"] == 4 * 360
    loaded = checkpoints.load(result.directory)
    assert loaded.card.class_names == ("0°", "90°", "180°", "270°")
    data = train.load_dataset("zoo_digits", "test")
    image = jnp.asarray(loaded.preprocess(data[0]["input"])[None])
    logits = loaded.model.apply(loaded.variables, image, train=False)
    assert logits.shape == (1, 4)
