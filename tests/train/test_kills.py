"""Processes that are killed while they write the files of a run, at every moment in turn."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from train import config_file
from train.config import Config
from train.metrics_log import MetricsLog, read_rows

ROOT = Path(__file__).parents[2]
ROWS = [{"step": step, "examples": 8 * step, "loss": 1 / step} for step in range(1, 5)]

# Imports once, then forks a process for each moment; the moments are those at which Python opens,
# renames, cuts or removes a file, and the kill is a real one.
WRITER = """
import os, signal, sys
from pathlib import Path
from train import config_file
from train.config import Config
from train.metrics_log import MetricsLog

directory = Path(sys.argv[1])
EVENTS = ("open", "os.rename", "os.remove", "os.truncate")

def write(moment):
    left = [moment]
    def count(event, arguments):
        if event in EVENTS and str(directory) in str(arguments[0]):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    config_file.save(Config(model="resnet8", steps=9), directory / "config.json")
    log = MetricsLog(directory, 3)
    log.append({"step": 4, "examples": 32, "loss": 0.25})
    os._exit(0)

for moment in range(1000):
    child = os.fork()
    if child == 0:
        write(moment)
    status = os.waitpid(child, 0)[1]
    sys.stdout.write("x")
    sys.stdout.flush()
    sys.stdin.readline()  # until the files have been looked at
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


@pytest.fixture
def directory(tmp_path):
    """A run as it was before the processes that are killed."""
    config_file.save(Config(model="resnet8", steps=5), tmp_path / "config.json")
    log = MetricsLog(tmp_path, 0)
    for row in ROWS:
        log.append(row)
    return tmp_path


def test_a_kill_at_any_moment_leaves_whole_files(directory):
    seen = []
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        while writer.stdout.read(1):
            seen.append(config_file.read(directory).steps)
            assert read_rows(directory)[:3] == ROWS[:3]
            assert (directory / "metrics.csv").read_text().count("\n") in (4, 5)
            writer.stdin.write("\n")
            writer.stdin.flush()
    assert writer.returncode == 0
    assert seen == sorted(seen)
    assert {5, 9} == set(seen)
    assert len(seen) > 8
    assert {p.name for p in directory.iterdir()} == {"config.json", "metrics.jsonl", "metrics.csv"}


def test_a_row_that_was_cut_short_anywhere_is_left_out(directory):
    whole = (directory / "metrics.jsonl").read_bytes()
    last = len(json.dumps(ROWS[-1])) + 1
    for cut in range(1, last + 1):
        (directory / "metrics.jsonl").write_bytes(whole[:-cut])
        assert read_rows(directory) == ROWS[:3]
    (directory / "metrics.jsonl").write_bytes(whole[:-5] + b"\0" * 5 + b"\n")
    log = MetricsLog(directory, 4)
    log.append(ROWS[-1])
    assert read_rows(directory) == ROWS


@pytest.mark.slow
@pytest.mark.parametrize(
    "after", ["config.json", "metrics.jsonl", "steps/00000002", "steps/00000004"]
)
def test_a_run_that_was_killed_as_soon_as_a_file_appeared_goes_on(zoo_process, tmp_path, after):
    options = ("--model", "resnet8", "--dataset", "zoo_digits", "--batch-size", "8")
    often = ("--steps", "6", "--save-every", "2", "--log-every", "1")
    run = tmp_path / "run"
    process = zoo_process("train", *options, *often, "--out", run)
    while not (run / after).exists():
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.wait()
    last = zoo_process("train", "--resume", "--out", run)
    assert last.wait() == 0, last.communicate()
    assert [row["step"] for row in read_rows(run)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_of_two_runs_that_begin_at_once_in_one_directory_one_is_refused(zoo_process, tmp_path):
    options = (
        "--model",
        "resnet8",
        "--dataset",
        "zoo_digits",
        "--batch-size",
        "8",
        "--steps",
        "40",
    )
    pair = [zoo_process("train", *options, "--log-every", "1", "--out", "run") for _ in "ab"]
    told = {process.returncode: err for process in pair for err in [process.communicate()[1]]}
    assert set(told) == {0, 2}
    loser, winner = sorted(pair, key=lambda process: -process.returncode)
    assert f"in use by process {winner.pid} on" in told[2]
    assert loser.returncode == 2
    assert [row["step"] for row in read_rows(tmp_path / "run")] == list(range(1, 41))
