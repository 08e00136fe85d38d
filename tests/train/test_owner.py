"""One owner of a run directory: live, gone, of another host, and a directory that disappears."""

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import train
import zoo
from checkpoints import atomic, store
from checkpoints.retention import Retention
from tests.train.test_fit import config
from train import owner, run_directory
from train.owner import Owner

ROOT = Path(__file__).parents[2]
# Imports once; each line that it reads forks a process that owns a directory, as of a host.
NURSERY = """
import os, signal, socket, sys, time
from pathlib import Path
from train import owner

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    directory, host = line.split()
    if (child := os.fork()) == 0:
        socket.gethostname = lambda: host
        owner.Owner(Path(directory))
        print(os.getpid(), flush=True)
        time.sleep(600)
"""


@pytest.fixture(scope="module")
def nursery():
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def holder(nursery, tmp_path):
    """`holder(host)`: number of another process, perhaps of another host, that owns tmp_path."""
    started = []

    def start(host=None):
        nursery.stdin.write(f"{tmp_path} {host or socket.gethostname()}\n")
        nursery.stdin.flush()
        started.append(int(nursery.stdout.readline()))
        return started[-1]

    yield start
    for process in started:
        end(process)


def end(process):
    """Kills a process, and waits until it is gone."""
    while atomic.is_alive(process):
        os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def test_a_live_owner_is_named_and_a_dead_one_is_followed(holder, tmp_path):
    process, news = holder(), []
    for take_over in (False, True):
        with pytest.raises(zoo.UsageError, match=f"in use by process {process} on .* since 20"):
            Owner(tmp_path, take_over=take_over)
    end(process)
    mine = Owner(tmp_path, say=news.append)
    assert f"from process {process} on" in news[0]
    with pytest.raises(zoo.UsageError, match=f"in use by process {os.getpid()}"):
        Owner(tmp_path)
    mine.release()
    Owner(tmp_path).release()
    assert not any(tmp_path.iterdir())


def test_another_host_is_named_with_the_option_that_overrides(holder, tmp_path):
    process = holder("far-away")
    for _ in range(2):  # alive, and gone: this host cannot tell
        with pytest.raises(zoo.UsageError, match=r"on far-away, since .* add --take-over"):
            Owner(tmp_path)
        end(process)
    Owner(tmp_path, take_over=True).release()
    holder("far-away")
    Owner(tmp_path, take_over=True).release()


def test_who_was_taken_over_stops(tmp_path, monkeypatch):
    monkeypatch.setattr("train.owner.socket.gethostname", lambda: "far-away")
    first = Owner(tmp_path)
    monkeypatch.undo()
    second = Owner(tmp_path, take_over=True)
    with pytest.raises(zoo.UsageError, match=f"was taken over by process {os.getpid()}"):
        first.check()
    first.release()
    second.check()


def test_without_locks_the_number_of_the_process_decides(holder, tmp_path, monkeypatch):
    process = holder()
    monkeypatch.setattr("train.owner._locked", lambda _: (None, None))
    with pytest.raises(zoo.UsageError, match=f"in use by process {process}"):
        Owner(tmp_path)
    end(process)
    mine = Owner(tmp_path)
    mine.check()
    mine.release()


def test_a_directory_in_use_is_refused_before_anything_else(holder, tmp_path):
    (tmp_path / "notes.txt").touch()
    process = holder()
    with pytest.raises(zoo.UsageError, match=f"in use by process {process}"):
        run_directory.run_directory(config(tmp_path))
    end(process)
    with pytest.raises(zoo.UsageError, match="is not empty"):
        run_directory.run_directory(config(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_runs_that_begin_at_once_get_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    free = run_directory._default
    seen = iter([free(config("x")), free(config("x"))])  # both saw the same one free
    monkeypatch.setattr(run_directory, "_default", lambda c: next(seen, None) or free(c))
    nameless = dataclasses.replace(config("x"), out=None)
    taken = [run_directory.run_directory(nameless) for _ in "ab"]
    assert [path.name for path in taken] == ["resnet8-zoo_digits", "resnet8-zoo_digits-2"]


@pytest.mark.parametrize("moment", ["a row", "a save"])
def test_a_directory_that_disappears_is_a_sentence(tmp_path, monkeypatch, moment):
    directory = tmp_path / "run"
    evaluate, save = train.evaluations.evaluate, train.run_checkpoints.save

    def delete_first(call):
        def wrapped(*arguments, **options):
            shutil.rmtree(directory)
            return call(*arguments, **options)

        return wrapped

    a_row, a_save = "train.evaluations.evaluate", "train.run_checkpoints.save"
    name, call = (a_row, evaluate) if moment == "a row" else (a_save, save)
    monkeypatch.setattr(name, delete_first(call))
    with pytest.raises(zoo.UsageError, match="has been deleted or moved while the run was"):
        train.fit(config(directory, steps=6))
    if moment == "a row":
        assert not directory.exists()


def test_keep_deletes_only_what_save_wrote(tmp_path):
    import checkpoints
    from checkpoints.card import Card

    steps = tmp_path / "steps"
    for step in (1, 2, 3, 4, 5):
        card = Card(name="run", architecture="resnet8")
        checkpoints.save(store.step_path(tmp_path, step), {"params": {"w": [1.0]}}, card)
    (store.step_path(tmp_path, 2) / "notes.txt").write_text("mine")
    (steps / "00000003").rename(steps / "elsewhere")
    (steps / "00000003").symlink_to(steps / "elsewhere")
    (steps / "00000000").mkdir()
    (steps / "00000000" / "mine.txt").touch()
    shutil.copytree(steps / "00000001", steps / "1")
    shutil.copytree(steps / "00000001", steps / ".hidden")
    (steps / ".00000007.host.1.partial").mkdir()
    (steps / ".00000008.old").mkdir()
    store.keep(tmp_path, Retention(newest=1))
    kept = {"00000000", "00000002", "00000003", "elsewhere", "1", ".hidden", "00000005"}
    assert {path.name for path in steps.iterdir()} == kept


def test_the_file_of_an_owner_is_no_content(tmp_path):
    (tmp_path / owner.NAME).write_text("")  # killed between two calls
    (tmp_path / ".config.json.host.1.partial").write_text("{")
    assert run_directory.run_directory(config(tmp_path)) == tmp_path
