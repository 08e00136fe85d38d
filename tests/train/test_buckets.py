"""Runs that live in a bucket, from `--out` to `--resume` and what reads them afterwards."""

import importlib.util
import json
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import checkpoints
import train
from checkpoints import paths, remote
from jax_functional_zoo.__main__ import main
from tests.train.test_fit import config
from train.metrics_log import MetricsLog, read_rows
from train.owner import Owner
from zoo.errors import UsageError

RUN = [
    *("train", "--model", "resnet8", "--dataset", "zoo_digits", "--batch-size", "16"),
    *("--log-every", "1", "--eval-every", "1000", "--save-every", "3"),
]


def test_without_the_library_one_sentence_comes_first(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main([*RUN, "--steps", "2", "--out", "gs://zoo/run"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("zoo train: 'gs://zoo/run' is reached with gcsfs: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_not_there_is_one_sentence(bucket, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, "--steps", "2", "--out", "gs://nowhere/run"]) == 2
    err = capsys.readouterr().err
    assert "gs://nowhere/run" in err
    assert "Traceback" not in err


def test_a_run_in_a_bucket_is_resumed_and_read(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = "gs://zoo/runs/a"
    half = train.fit(config(there, steps=3))
    assert str(half.directory) == there
    with pytest.raises(UsageError, match="is not empty; add `resume`"):
        train.fit(config(there))
    newest = next(name for name in bucket.objects if name.endswith("3/manifest.json"))
    best = checkpoints.load(f"{there}@best").card
    damaged = next(n for n in bucket.objects if "00000003" in n and "/arrays/params/d/" in n)
    body = bucket.objects[damaged].body
    bucket.write(damaged, bytes([body[0] ^ 1]) + body[1:], {}, {})
    said = []
    done = train.fit(config(there, resume=True), Listening(said))
    assert any("cannot be used" in text and there in text for text in said)
    assert newest not in bucket.objects  # set aside
    assert [row["step"] for row in done.history][-1] == config(there).steps
    assert best.source["examples"] < checkpoints.load(there).card.source["examples"]
    names = {name.split("/")[2] for name in bucket.objects}
    assert {"config.json", "curves.png", "metrics.csv", "metrics.jsonl", "steps"} <= names
    assert ".owner.json" not in names
    assert list(tmp_path.iterdir()) == []
    assert train.config_file.read(there).steps == config(there).steps


class Listening(train.report.Reporter):
    """Keeps what a run says."""

    def __init__(self, said):
        super().__init__()
        self.say = said.append


def test_a_lock_in_a_bucket_is_created_by_one_alone(bucket):
    place = paths.path("gs://zoo/run")
    first = Owner(place)
    with pytest.raises(UsageError, match="`out` gs://zoo/run is in use by process"):
        Owner(place)
    first.check()
    first.release()
    assert bucket.objects == {}
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    left = {"pid": gone.pid, "host": socket.gethostname(), "process": "x", "run": "y"}
    (place / ".owner.json").write_text(json.dumps(left))
    said = []
    Owner(place, say=said.append)
    assert f"over from process {gone.pid}" in said[0]


def test_an_owner_that_comes_in_between_is_found(bucket):
    def other(name):
        bucket.before_write = lambda name: None
        bucket.write(name, b'{"pid": 1, "host": "elsewhere"}', {}, {})

    bucket.before_write = other
    with pytest.raises(UsageError, match="in use by process 1 on elsewhere"):
        Owner(paths.path("gs://zoo/run"))


def test_rows_are_in_the_bucket_before_the_save_that_they_belong_to(bucket, monkeypatch):
    place = paths.path("gs://zoo/run")
    monkeypatch.setattr(MetricsLog, "INTERVAL", 1000.0)
    log = MetricsLog(place, 0)
    for step in (1, 2, 3):
        log.append({"step": step, "loss": 0.5})
    assert read_rows(place) == []
    log.flush()
    assert read_rows(place) == log.rows
    assert len((place / "metrics.csv").read_text().splitlines()) == 4
    assert [row["step"] for row in MetricsLog(place, 2).rows] == [1, 2]
    assert [row["step"] for row in read_rows(place)] == [1, 2]


@pytest.mark.slow
def test_a_run_in_a_bucket_that_is_killed_resumes_to_the_same_bits(zoo_process, bucket, tmp_path):
    whole = zoo_process(*RUN, "--steps", "30", "--out", "whole")
    assert whole.wait() == 0, whole.communicate()
    for step in (6, 15):
        killed = zoo_process(*RUN, "--steps", "30", "--out", "gs://zoo/run", "--resume")
        deadline = time.monotonic() + 120
        while f"run/steps/{step:08d}/manifest.json" not in bucket.objects:
            assert killed.poll() is None, killed.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        killed.kill()
        killed.wait()
    last = zoo_process("train", "--resume", "--out", "gs://zoo/run")
    assert last.wait() == 0, last.communicate()
    ours, theirs = (checkpoints.load(place) for place in ("gs://zoo/run", tmp_path / "whole"))
    for a, b in zip(*(jax.tree.leaves(w.variables) for w in (ours, theirs)), strict=True):
        np.testing.assert_array_equal(a, b)
    rows = [
        [(row["step"], row["loss"]) for row in read_rows(place)]
        for place in (paths.path("gs://zoo/run"), tmp_path / "whole")
    ]
    assert rows[0] == rows[1]
    assert not (tmp_path / "gs:").exists()
    told = zoo_process("evaluate", "--weights", "gs://zoo/run@best", "--json").communicate()
    assert json.loads(told[0])["count"] == 360


def test_a_data_set_in_a_bucket_is_copied_once_and_again_when_it_changes(
    bucket, tmp_path, monkeypatch
):
    train.load_dataset("zoo_digits", data_dir=tmp_path / "prepared")
    there = paths.path("gs://zoo/data")
    remote.upload(tmp_path / "prepared", there)
    (there / "zoo_digits_of_another").write_text("not below zoo_digits")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ours, theirs = (
        train.load_dataset("zoo_digits", "test", data_dir=place)
        for place in ("gs://zoo/data", tmp_path / "prepared")
    )
    np.testing.assert_array_equal(ours[7]["input"], theirs[7]["input"])
    reads = len([what for _, what, _ in bucket.requests if what == "media"])
    assert reads > 0
    train.load_dataset("zoo_digits", "test", data_dir="gs://zoo/data")
    assert len([what for _, what, _ in bucket.requests if what == "media"]) == reads
    changed = next(name for name in bucket.objects if name.endswith("dataset_info.json"))
    bucket.write(changed, bucket.objects[changed].body, {}, {})
    train.load_dataset("zoo_digits", "test", data_dir="gs://zoo/data")
    copies = list((tmp_path / "cache" / "jax-functional-zoo" / "data").iterdir())
    assert len(copies) == 2
    assert all([path.name for path in copy.iterdir()] == ["zoo_digits"] for copy in copies)


def test_a_folder_of_pictures_in_a_bucket_is_read(bucket, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    remote.upload(pictures, paths.path("gs://zoo/photos"))
    ours, theirs = (
        train.load_dataset(place, "train") for place in ("gs://zoo/photos", str(pictures))
    )
    assert ours.class_names == theirs.class_names
    assert len(ours) == len(theirs)
    np.testing.assert_array_equal(ours[3]["input"], theirs[3]["input"])
    with pytest.raises(UsageError, match="there is no folder"):
        train.load_dataset("gs://zoo/nothing", "train")
