"""Two processes of two devices each, as two hosts of a job under SLURM, joined over loopback."""

import json
import os
import re
import shutil
import signal

import jax
import numpy as np
import pytest

import checkpoints
from checkpoints import store
from tests.checkpoints.gcs_server import Refusal
from tests.train.test_processes import wait_for_rows

pytestmark = pytest.mark.slow

RUN = [
    *("train", "--model", "resnet8", "--dataset", "zoo_digits", "--batch-size", "16"),
    *("--log-every", "1", "--eval-every", "1000"),
]


@pytest.fixture
def job(zoo_process, tmp_path):
    """`job(*arguments)`: both processes of a run that they make together, each in its folder."""

    def start(*arguments, folders=(tmp_path, tmp_path)):
        slurm = {
            "SLURM_JOB_ID": str(os.getpid()),  # the port of the first process is made of it
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_NTASKS": "2",
            "JAX_NUM_CPU_DEVICES": "2",
            "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        }
        return [
            zoo_process(
                *(*arguments, "--distributed"),
                cwd=folder,
                **slurm,
                SLURM_PROCID=str(i),
                SLURM_LOCALID=str(i),
            )
            for i, folder in enumerate(folders)
        ]

    return start


def finish(processes, status=0):
    """Standard outputs, once all have ended as they should."""
    told = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), told
    return told


def curve(directory):
    rows = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows]


def test_two_hosts_train_as_one_does(job, zoo_process, tmp_path):
    finish([zoo_process(*RUN, "--steps", "6", "--out", "one", JAX_NUM_CPU_DEVICES="4")])
    for how in ("jit", "pmap", "shard_map"):
        (first, _), (second, _) = finish(job(*RUN, "--steps", "6", "--parallel", how, "--out", how))
        assert "checkpoint, metrics and curves" in first
        assert "checkpoint" not in second
        np.testing.assert_allclose(curve(tmp_path / how), curve(tmp_path / "one"), rtol=1e-5)
        ours, theirs = (checkpoints.load(tmp_path / name) for name in (how, "one"))
        assert ours.card.metrics["count"] == 360
        assert ours.card.metrics["top1"] == theirs.card.metrics["top1"]
        for a, b in zip(*(jax.tree.leaves(w.variables) for w in (ours, theirs)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_hosts_save_parts_together_and_one_of_them_goes_on(job, zoo_process, tmp_path):
    run = [*RUN, "--schedule", "constant", "--warmup", "0"]  # the same however long it is
    finish([zoo_process(*run, "--steps", "4", "--out", "one")])
    finish(job(*run, "--steps", "2", "--mesh", "fsdp=4", "--out", "run"))
    ours = checkpoints.load(tmp_path / "run")
    assert ours.card.metrics["count"] == 360
    finish([zoo_process("train", "--resume", "--out", "run", "--mesh", "data=1", "--steps", "4")])
    np.testing.assert_allclose(curve(tmp_path / "run"), curve(tmp_path / "one"), rtol=1e-5)


def test_one_signal_stops_both_hosts_and_one_host_goes_on(job, zoo_process, tmp_path):
    processes = job(*RUN, "--steps", "2000", "--out", "run")
    wait_for_rows(tmp_path / "run", 3, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    for _, err in finish(processes, 143):
        assert "SIGTERM: saved step" in err
    step = checkpoints.load(tmp_path / "run").card.source["examples"] // 16
    finish([zoo_process(*RUN, "--steps", str(step + 2), "--out", "run", "--resume")])
    assert len(curve(tmp_path / "run")) == step + 2


def test_a_run_that_may_not_start_is_refused_by_both(job, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    for _, err in finish(job(*RUN, "--steps", "2", "--out", "run"), 2):
        assert "is not empty; choose another `--out`" in err


def test_alone_there_is_no_job_to_join(zoo_process):
    (_, err) = finish([zoo_process(*RUN, "--steps", "2", "--distributed")], 2)[0]
    assert "found no job to join" in err


def test_hosts_that_share_no_disk_are_told_so_at_the_start(job, tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    for _, err in finish(job(*RUN, "--steps", "2", "--out", "run", folders=folders), 2):
        assert "host 1 of 2 does not see what host 0 writes in `--out` run" in err
        assert "--out gs://BUCKET/RUN" in err
        assert "Traceback" not in err
    assert list((folders[0] / "run").iterdir()) == []


def test_what_one_host_lacks_all_hosts_are_told(job, pictures, tmp_path):
    folders = [tmp_path / name for name in "ab"]
    shutil.copytree(pictures, folders[0] / "photos")
    folders[1].mkdir()
    run = ["train", "--model", "resnet8", "--dataset", "./photos", "--out", str(tmp_path / "run")]
    first, second = finish(job(*run, folders=folders), 2)
    assert "host 1 cannot begin: there is no folder 'photos'" in first[1]
    assert "zoo train: there is no folder 'photos'" in second[1]


@pytest.mark.parametrize("killed", [0, 1])
def test_a_host_that_is_gone_ends_the_others_with_a_sentence(job, tmp_path, killed):
    processes = job(*RUN, "--steps", "20000", "--save-every", "4", "--out", "run")
    wait_for_rows(tmp_path / "run", 6, processes[0])
    processes[killed].kill()
    _, err = processes[1 - killed].communicate(timeout=60)
    assert processes[1 - killed].returncode == 1
    last = err.splitlines()[-1]
    assert re.match(r"zoo: (host 0, or|another|host 1 of 2 has given no sign of life)", last)
    assert "the newest save is run/steps/0000" in last
    assert last.endswith("Start all hosts again with --resume.")
    newest = last.partition("newest save is ")[2].partition(". ")[0]
    store.verify(tmp_path / newest)


def test_a_host_killed_between_two_objects_of_a_save_loses_nothing(job, bucket, tmp_path):
    run = [*RUN, "--steps", "8", "--save-every", "2"]
    finish(job(*run, "--out", "whole"))
    processes = job(*run, "--out", "gs://zoo/run")

    def kill(name):
        if name.startswith("run/steps/00000006/") and "/ocdbt.process_1/" in name:
            processes[1].kill()
            raise Refusal(503, "nobody is there")

    bucket.before_write = kill
    _, err = processes[0].communicate(timeout=120)
    assert processes[0].returncode == 1
    assert "the newest save is gs://zoo/run/steps/00000004" in err.splitlines()[-1]
    bucket.before_write = lambda name: None
    assert "run/steps/00000006/manifest.json" not in bucket.objects
    assert any(name.startswith("run/steps/00000006/") for name in bucket.objects)
    assert store.latest("gs://zoo/run").name == "00000004"
    store.verify(store.latest("gs://zoo/run"))

    finish(job("train", "--resume", "--out", "gs://zoo/run"))
    whole, resumed = (checkpoints.load(place) for place in (tmp_path / "whole", "gs://zoo/run"))
    for a, b in zip(*(jax.tree.leaves(w.variables) for w in (whole, resumed)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [step for step, _ in store.steps("gs://zoo/run")] == [6, 8]
