"""Rows of a run in other programs' files."""

import dataclasses
import struct
import sys

import pytest
from tensorboardX.proto import event_pb2

import train
import zoo
from tests.train.test_fit import config


def events(folder):
    """What stands in TensorBoard's files, oldest first: `(step, name, value)`."""
    found = []
    for path in sorted(folder.iterdir()):
        body = path.read_bytes()
        while body:  # a record is its length, a checksum, its bytes, a checksum
            (length,) = struct.unpack("<Q", body[:8])
            event = event_pb2.Event.FromString(body[12 : 12 + length])
            found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
            body = body[16 + length :]
    return found


@pytest.mark.slow
def test_tensorboard_gets_every_row_of_a_resumed_run(tmp_path):
    first = config(tmp_path / "run", steps=2, tensorboard=True)
    train.fit(first)
    result = train.fit(dataclasses.replace(first, steps=4, resume=True))
    losses = [(s, v) for s, name, v in events(tmp_path / "run/tensorboard") if name == "loss"]
    assert losses == [(row["step"], pytest.approx(row["loss"])) for row in result.history]
    assert len(losses) == 4


def test_a_library_that_is_not_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(zoo.UsageError, match="`wandb` needs wandb, which is not installed: pip "):
        train.fit(config(tmp_path / "run", steps=1, wandb="digits"))
    assert not (tmp_path / "run").exists()
