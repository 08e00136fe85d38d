"""Real processes: killed, interrupted, and started beside files that carry our names."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import checkpoints
from tests.checkpoints.hub_server import running_hub
from tests.train.conftest import ROOT

RUN = [
    *("train", "--model", "resnet8", "--dataset", "zoo_digits", "--steps", "150"),
    *("--batch-size", "16", "--save-every", "7", "--log-every", "1", "--rotate", "10"),
]


def wait_for_rows(directory, count, process):
    log = directory / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not log.exists() or log.read_text().count("\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def arrays(directory):
    variables = checkpoints.load(directory).variables
    return [np.asarray(leaf) for leaf in jax.tree.leaves(variables)]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(zoo_process, tmp_path):
    whole = zoo_process(*RUN, "--out", "whole")
    assert whole.wait() == 0, whole.communicate()
    for row in (5, 60):  # before the first checkpoint, and between two
        killed = zoo_process(*RUN, "--out", "killed", "--resume")
        wait_for_rows(tmp_path / "killed", row, killed)
        killed.kill()
        killed.wait()
    last = zoo_process(*RUN, "--out", "killed", "--resume")
    assert last.wait() == 0, last.communicate()
    for ours, theirs in zip(arrays(tmp_path / "killed"), arrays(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rows = [
        [(row["step"], row["loss"]) for row in map(json.loads, path.read_text().splitlines())]
        for path in (tmp_path / "killed/metrics.jsonl", tmp_path / "whole/metrics.jsonl")
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, 138, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_first_and_says_so(zoo_process, tmp_path, number, status):
    process = zoo_process(*RUN, "--steps", "5000", "--save-every", "5000", "--out", "run")
    wait_for_rows(tmp_path / "run", 3, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert f"{number.name}: saved step" in err
    assert "continue it with --resume" in err
    assert "Traceback" not in err
    assert checkpoints.load(tmp_path / "run").card.source["examples"] >= 3 * 16


# Starts a command in a terminal of its own, closes that when a file has three lines, and answers
# with the command's status.
TERMINAL = """
import os, pty, select, sys
from pathlib import Path

log = Path(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-P", "-m", "jax_functional_zoo", *sys.argv[2:]])
while not log.exists() or log.read_text().count("\\n") < 3:
    if select.select([terminal], [], [], 0.05)[0]:
        os.read(terminal, 65536)
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.slow
def test_a_terminal_that_closes_ends_no_run_unsaved(tmp_path):
    run = tmp_path / "run"
    often = ("--steps", "5000", "--save-every", "5000", "--out", str(run))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    command = [sys.executable, "-c", TERMINAL, str(run / "metrics.jsonl"), *RUN, *often]
    assert subprocess.run(command, env=environment, timeout=120).returncode == 129
    assert checkpoints.load(run).card.source["examples"] >= 3 * 16


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_compiler(zoo_process):
    process = zoo_process("compile", "nasnetalarge", "--batch-size", "2", XLA_FLAGS="")
    time.sleep(30)  # traced by then, and compiling for a minute more
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=3)
    assert process.returncode == 130
    assert "interrupted" in err


@pytest.mark.parametrize("pause", [0.0, 0.5, 1.5])
def test_ctrl_c_ends_a_command_at_once(zoo_process, tmp_path, pause, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    process = zoo_process("evaluate", "--weights", "nasnet_nano.digits", XDG_CACHE_HOME="cache")
    deadline = time.monotonic() + 60
    while not (tmp_path / "cache").exists():  # the first thing that a command does
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.endswith("zoo evaluate: interrupted; nothing was lost that was reported saved\n")


def test_files_that_carry_our_names_do_no_harm(zoo_process, tmp_path):
    (tmp_path / "train.py").write_text("raise RuntimeError('not me')")
    (tmp_path / "zoo.py").write_text("raise RuntimeError('nor me')")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "__init__.py").touch()
    process = zoo_process("info", "resnet8")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "75,290" in out


@pytest.mark.slow
def test_published_weights_on_a_folder_of_pictures(zoo_process, pictures, golden, tmp_path):
    """From the hub's file to a fine-tuned run, its accuracy and its answers."""
    body, *_ = golden("resnet18_64", num_classes=1000)
    with running_hub() as server:
        server.add("timm/resnet18.a1_in1k", "model.safetensors", body)
        hub = {
            "HF_ENDPOINT": server.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "XLA_FLAGS": "",  # a network of this size is worth compiling well
        }
        tune = zoo_process(
            *("finetune", "--weights", "resnet18.a1_in1k", "--dataset", pictures, "--json"),
            *("--image-size", "64", "--steps", "3", "--batch-size", "8", "--out", "tuned"),
            **hub,
        )
        out, err = tune.communicate()
        assert tune.returncode == 0, err
    shutil.rmtree(tmp_path / "hf")
    loaded = checkpoints.load(tmp_path / "tuned")
    assert loaded.card.class_names == ("one", "two", "zero")
    assert loaded.preprocess.image_size == 64
    score = zoo_process("evaluate", "--weights", "tuned", "--dataset", pictures, "--json")
    assert json.loads(score.communicate()[0]) == pytest.approx(json.loads(out)["after"])
    answer = zoo_process("predict", "--weights", "tuned", pictures / "zero", "--json")
    assert len(json.loads(answer.communicate()[0])) == 12
