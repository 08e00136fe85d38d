"""Two processes of two devices each, as two hosts of a job under SLURM, joined over loopback."""

import json
import os
import signal

import jax
import numpy as np
import pytest

import checkpoints
from tests.train.test_processes import wait_for_rows

pytestmark = pytest.mark.slow

RUN = [
    *("train", "--model", "resnet8", "--dataset", "zoo_digits", "--batch-size", "16"),
    *("--log-every", "1", "--eval-every", "1000"),
]


@pytest.fixture
def job(zoo_process):
    """`job(*arguments)`: both processes of a run that they make together."""

    def start(*arguments):
        slurm = {
            "SLURM_JOB_ID": str(os.getpid()),  # the port of the first process is made of it
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_NTASKS": "2",
            "JAX_NUM_CPU_DEVICES": "2",
            "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        }
        return [
            zoo_process(
                *arguments, "--distributed", **slurm, SLURM_PROCID=str(i), SLURM_LOCALID=str(i)
            )
            for i in range(2)
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
        assert "is not empty; choose another `out`" in err


def test_alone_there_is_no_job_to_join(zoo_process):
    (_, err) = finish([zoo_process(*RUN, "--steps", "2", "--distributed")], 2)[0]
    assert "found no job to join" in err
