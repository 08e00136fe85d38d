"""What a supervisor starts again, what it does not, and who hears of Ctrl-C."""

import os
import signal
import subprocess
import sys
import time

import pytest

from jax_functional_zoo.__main__ import main
from tests.train.test_processes import wait_for_rows
from train import owner, supervision
from train.metrics_log import read_rows

KILL = "import os; os.kill(os.getpid(), 9)"
OK = "pass"


@pytest.fixture
def ended(monkeypatch, tmp_path):
    """`ended(first, again, restarts)`: exit status and what was said of programs in Python."""
    monkeypatch.setattr(supervision, "PAUSE", 0.0)

    def run(first, again=OK, restarts=2):
        said, started = [], []
        commands = [[sys.executable, "-c", text] for text in (first, again)]

        def newest():
            started.append(None)
            return sorted(tmp_path.iterdir())[-1] if any(tmp_path.iterdir()) else None

        monkeypatch.chdir(tmp_path)
        return supervision.supervised(*commands, restarts, newest, said.append), said

    return run


def test_a_killed_program_is_started_again_as_often_as_may_be(ended):
    status, said = ended(KILL)
    assert status == 0
    assert said == [
        "the run was killed by SIGKILL; goes on from the beginning, and 1 times again if need be"
    ]
    status, said = ended(KILL, KILL)
    assert status == 128 + signal.SIGKILL
    assert len(said) == 3
    assert "may not be started again" in said[-1]


@pytest.mark.parametrize("status", [0, 2, 1, 128 + signal.SIGTERM])
def test_what_a_new_start_cannot_mend_is_left(ended, status):
    assert ended(f"raise SystemExit({status})") == (status, [])


def test_a_failure_after_a_save_is_another_one_than_before(ended):
    status, said = ended("open('00000002', 'w'); raise SystemExit(1)")
    assert status == 0
    assert said[0].startswith("the run failed; goes on from ")
    status, said = ended("open('00000003', 'w'); raise SystemExit(1)", "raise SystemExit(1)")
    assert (status, len(said)) == (1, 1)


SUPERVISOR = """
import signal, sys
from train.supervision import supervised
signal.signal({number}, signal.SIG_DFL)  # nohup has it ignored
CHILD = "import signal, sys, time; signal.signal({number}, lambda *_: sys.exit(77)); " \\
        "print('ready', flush=True); time.sleep(60)"
command = [sys.executable, "-c", CHILD]
sys.exit(supervised(command, command, 5, lambda: None, print))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_to_stop_reaches_the_program_and_ends_both(name):
    number = getattr(signal, name)
    script = SUPERVISOR.replace("{number}", str(int(number)))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(timeout=60) == 77


def test_an_error_of_the_user_is_said_once(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--model", "resnet8", "--dataset", "./nowhere", "--supervise", "3", "--out", "run"]
    with pytest.raises(SystemExit, match="2"):
        main(["train", *arguments])
    assert capfd.readouterr().err.count("there is no folder") == 1


@pytest.mark.parametrize("others", [["--distributed"], ["--folds", "3"]])
def test_several_processes_or_runs_are_not_supervised(others, capsys):
    assert main(["train", "--supervise", "2", *others]) == 2
    assert "`--supervise`" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_is_killed_twice_goes_on_to_its_end_and_ctrl_c_stops_both(zoo_process, tmp_path):
    run = ["--model", "resnet8", "--dataset", "zoo_digits", "--batch-size", "8", "--log-every", "1"]
    process = zoo_process(
        "train", *run, "--save-every", "2", "--steps", "20000", "--supervise", "2"
    )
    directory = tmp_path / "runs" / "resnet8-zoo_digits"
    for rows in (3, 9):
        wait_for_rows(directory, rows, process)
        os.kill(pid_of(directory), signal.SIGKILL)
    wait_for_rows(directory, 13, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT
    assert err.count("was killed by SIGKILL; goes on from ") == 2
    steps = [row["step"] for row in read_rows(directory)]
    assert steps == list(range(1, len(steps) + 1))
    assert f"SIGINT: saved step {len(steps)} in " in err


def pid_of(directory):
    """The process that owns a run."""
    for _ in range(100):
        if (found := owner._read(directory / owner.NAME, 0.0)) is not None:
            return found["pid"]
        time.sleep(0.1)
    raise AssertionError("nobody owns the run")
