"""What a run says about its time: a trace of some updates, and waiting for input."""

import io
import time

import pytest
from rich.console import Console

import train
import zoo
from train.profile import WARM, traced
from train.report import Clock, Reporter

TINY = {"stage_sizes": [1], "width": 4}


def test_a_run_leaves_a_trace_of_its_updates(tmp_path):
    fields = {"overrides": TINY, "dataset": "zoo_digits", "batch_size": 16}
    config = train.Config(model="resnet8", steps=WARM + 4, profile=2, **fields)
    result = train.fit(train.Config(**vars(config) | {"out": str(tmp_path / "run")}))
    (trace,) = (tmp_path / "run/profile").rglob("*.xplane.pb")
    assert b"train_step" in trace.read_bytes()
    assert int(result.state.step) == WARM + 4
    with pytest.raises(zoo.UsageError, match="`profile` needs `out` on this machine"):
        train.plan(train.Config(**vars(config) | {"out": "gs://bucket/run"}))


def test_a_trace_ends_with_its_run(tmp_path):
    with traced(tmp_path / "none", first=0, count=None) as before:
        before(0, ())
    assert not (tmp_path / "none").exists()
    for name in ("one", "two"):  # the second could not begin if the first had not ended
        with traced(tmp_path / name, first=3, count=10) as before:
            for step in (2, 3, 4):
                before(step, ())
        assert list((tmp_path / name).rglob("*.xplane.pb"))


def test_the_clock_tells_waiting_from_work():
    clock = Clock()
    with clock.waiting():
        time.sleep(0.05)
    clock.count(8)
    figures = clock.figures()
    assert 0.5 < figures["input_share"] <= 1.0
    assert 0 < figures["images_per_second"] <= 8 / 0.05
    assert clock.figures()["input_share"] == 0.0
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    reporter = Reporter(console)
    with reporter.steps(0, 4):
        for share, shown in ((0.02, False), (figures["input_share"], True)):
            row = {"loss": 1.0, "learning_rate": 0.1, **figures, "input_share": share}
            reporter.advance(1, row)
            reporter._progress.refresh()
            assert ("waits for input" in console.file.getvalue()) == shown
