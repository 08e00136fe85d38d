"""The loop: what it leaves behind, what it survives, what it refuses."""

import csv
import dataclasses
import json
import math
import os
import shutil
import signal

import jax
import numpy as np
import pytest

import checkpoints
import train
import zoo
from checkpoints import store

BASE = train.Config(
    model="resnet8",
    dataset="zoo_digits",
    steps=6,
    batch_size=16,
    log_every=1,
    eval_every=6,
    save_every=2,
    augment=train.Augment(rotate=10.0, translate=0.1),
)


def config(out, **changes):
    return dataclasses.replace(BASE, out=str(out), **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of six steps that nothing disturbed."""
    return train.fit(config(tmp_path_factory.mktemp("runs") / "whole"))


def same_bits(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(bits(x), bits(y)) for x, y in pairs)


def bits(leaf):
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_the_run_directory_holds_everything(whole):
    names = {path.name for path in whole.directory.iterdir()}
    logs = {"metrics.jsonl", "metrics.csv", "curves.png"}
    assert names == {"config.json", "data.json", "steps", *logs}
    lines = (whole.directory / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all({"loss", "learning_rate", "examples"} <= row.keys() for row in rows)
    assert rows == whole.history
    assert rows[-1]["eval_top1"] == whole.metrics["top1"]
    with (whole.directory / "metrics.csv").open() as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == [r["loss"] for r in rows]
    assert json.loads((whole.directory / "config.json").read_text())["steps"] == 6


def test_a_run_directory_loads_as_weights(whole):
    loaded = checkpoints.load(whole.directory)
    assert same_bits(loaded.variables, train.published(whole.state))
    assert loaded.card.class_names == tuple("0123456789")
    assert loaded.card.architecture == "resnet8"
    assert loaded.card.metrics["top1"] == whole.metrics["top1"]
    data = train.load_dataset("zoo_digits", "test")
    again = train.evaluate(
        loaded.model, loaded.variables, data, preprocess=loaded.preprocess, batch_size=48
    )
    assert again == pytest.approx(whole.metrics)


class Stopping(train.report.Reporter):
    """A person who sends a signal once a step is done."""

    def __init__(self, step, number):
        super().__init__()
        self.step, self.number = step, number

    def advance(self, step, row=None):
        if step == self.step and row is None:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("stop", "name"), [(3, "SIGHUP"), (5, "SIGUSR1")])
def test_a_stopped_and_resumed_run_ends_in_the_same_bits(whole, stop, name, tmp_path):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)  # nohup has it ignored
    with pytest.raises(train.Interrupted, match=f"{name}: saved step {stop} in .*--resume"):
        train.fit(config(tmp_path / "run"), Stopping(stop, number))
    signal.signal(number, before)
    resumed = train.fit(config(tmp_path / "run", resume=True))
    assert same_bits(resumed.state, whole.state)
    losses = [[row["loss"] for row in result.history] for result in (resumed, whole)]
    assert losses[0] == losses[1]


def test_resuming_may_change_batch_size_steps_and_wrapper(tmp_path):
    news = []
    reporter = train.report.Reporter()
    reporter.say = news.append
    train.fit(config(tmp_path, steps=2))
    result = train.fit(
        config(tmp_path, steps=3, batch_size=32, parallel="pmap", resume=True), reporter
    )
    assert [row["examples"] for row in result.history] == [16, 32, 64]
    assert {"`batch_size`: 16 before, now 32", "`steps`: 2 before, now 3"} <= set(news)


def test_another_config_is_refused_with_the_difference(whole):
    changed = dataclasses.replace(BASE.optimization, learning_rate=0.5)
    with pytest.raises(zoo.UsageError, match=r"`learning_rate`: 0.003 there, 0.5 here"):
        train.fit(config(whole.directory, optimization=changed, resume=True))
    with pytest.raises(zoo.UsageError, match=r"not empty; add `resume`"):
        train.fit(config(whole.directory))


def test_resuming_a_finished_run_changes_nothing(whole):
    again = train.fit(config(whole.directory, resume=True))
    assert same_bits(again.state, whole.state)
    assert again.metrics == pytest.approx(whole.metrics)


def test_resume_without_a_run_starts_one(tmp_path):
    assert train.fit(config(tmp_path / "new", steps=1, resume=True)).state.step == 1


@pytest.mark.slow
def test_averaged_parameters_are_kept_and_resumed(tmp_path):
    whole = train.fit(config(tmp_path / "a", steps=4, ema=0.5))
    train.fit(config(tmp_path / "b", steps=4, ema=0.5))
    for _, path in store.steps(tmp_path / "b")[1:]:
        shutil.rmtree(path)
    resumed = train.fit(config(tmp_path / "b", steps=4, ema=0.5, resume=True))
    assert same_bits(resumed.state, whole.state)
    assert same_bits(
        checkpoints.load(tmp_path / "a").variables["params"], whole.state.average.params
    )


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    wild = dataclasses.replace(BASE.optimization, learning_rate=1e30, clip_norm=None, warmup=0.0)
    with pytest.raises(zoo.UsageError, match=r"the loss became nan.*lower `learning_rate`"):
        train.fit(config(tmp_path, optimization=wild))


def test_a_last_update_that_diverges_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "train.evaluations.evaluate", lambda *_, **__: {"loss": math.nan, "top1": 0.0}
    )
    with pytest.raises(zoo.UsageError, match="the loss became nan"):
        train.fit(config(tmp_path, steps=1))
    assert not store.steps(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 12}, "divisible by the 8 devices, got 12; use 8 or 16"),
        ({"dataset": None}, "`dataset` is needed"),
        ({"model": None}, "`model` or `weights` is needed"),
        ({"model": "resnet9"}, "no architecture 'resnet9'"),
        ({"dataset": "zoo_digit"}, "zoo_digits"),
        ({"eval_split": "tset"}, "test"),
        ({"per_class": 5000}, "5000"),
    ],
)
def test_what_cannot_run_leaves_nothing_behind(changes, words, tmp_path):
    with pytest.raises(zoo.UsageError, match=words):
        train.fit(config(tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_steps_and_epochs_exclude_each_other():
    with pytest.raises(zoo.UsageError, match="`steps` or `epochs`, not both"):
        dataclasses.replace(BASE, epochs=2.0)
    with pytest.raises(zoo.UsageError, match="`batch_size` must be positive and finite, got 0"):
        dataclasses.replace(BASE, batch_size=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"ema": math.nan}, "`ema` must be at least 0 and below 1, got nan"),
        ({"steps": None, "epochs": math.inf}, "`epochs` must be positive and finite, got inf"),
        ({"save_every": 0}, "`save_every` must be positive and finite, got 0"),
        ({"ema": 2.0}, "`ema` must be at least 0 and below 1, got 2.0"),
        (
            {"optimization": train.OptimizerConfig(warmup=3.0)},
            "`warmup` must be a share of the run below 1",
        ),
        ({"optimization": train.OptimizerConfig(label_smoothing=1.0)}, "`label_smoothing` must"),
        *(
            (
                {"optimization": train.OptimizerConfig(**{name: value})},
                f"`{name}` must be .*{value}",
            )
            for name, values in {
                "learning_rate": (0.0, -1.0, math.nan, math.inf),
                "clip_norm": (0.0, -1.0, math.nan, math.inf),
                "weight_decay": (-1.0, math.nan, math.inf),
                "warmup": (-0.1, math.nan),
                "label_smoothing": (math.nan,),
                "patience": (0,),
            }.items()
            for value in values
        ),
        ({"optimization": train.OptimizerConfig(rates={"a": math.nan})}, "`rates` of 'a' must be"),
    ],
)
def test_values_out_of_range_are_refused(changes, words):
    with pytest.raises(zoo.UsageError, match=words):
        dataclasses.replace(BASE, **changes)


def test_rates_of_parameters_that_do_not_exist_are_refused_with_the_closest(tmp_path):
    wrong = dataclasses.replace(BASE.optimization, rates={"head": 1e-3, "stem/cnov": 1e-3})
    with pytest.raises(zoo.UsageError, match=r"`rates`.*'stem/cnov'.*'stem/conv/kernel'"):
        train.fit(config(tmp_path / "run", optimization=wrong))
    assert not (tmp_path / "run").exists()


def test_the_longest_warmup_leaves_a_step_to_decay():
    schedule = train.make_schedule(train.OptimizerConfig(learning_rate=0.1, warmup=0.99), 4)
    assert float(schedule(3)) == pytest.approx(0.1)
    assert float(schedule(4)) == pytest.approx(0.0)
