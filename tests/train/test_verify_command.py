"""`zoo verify`: what is recorded is met, and what is not is said."""

import dataclasses
import json
import sys

import jax
import pytest
from safetensors.numpy import save_file

import checkpoints
from checkpoints import store
from jax_functional_zoo.__main__ import main

NAME = "resnet8.digits"


@pytest.fixture
def verify(capsys):
    """`verify(...)`: exit status, stdout and stderr of `zoo verify`."""

    def run(*arguments):
        status = main(["verify", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def other(tmp_path):
    """Weights whose outputs are not those of their card."""
    loaded = checkpoints.load(NAME)
    variables = jax.tree.map(lambda x: x * 1.001, loaded.variables)
    return checkpoints.save(tmp_path / "other", variables, loaded.card)


def test_a_name(verify):
    status, out, error = verify(NAME)
    assert (status, error) == (0, "")
    assert [word in out for word in (NAME, "fingerprint", "2x8x8x1", "2x10", "equal")] == [True] * 5


def test_json(verify):
    status, out, _ = verify(NAME, "--json")
    row = json.loads(out)
    assert status == 0
    assert row["error"] <= row["tolerance"] == 1e-5
    del row["error"], row["tolerance"]
    assert row == {
        "weights": NAME,
        "against": "fingerprint",
        "input": [2, 8, 8, 1],
        "output": [2, 10],
        "agrees": True,
    }


def test_a_difference_ends_with_a_sentence_and_status_2(verify, other):
    status, out, error = verify(other)
    assert status == 2
    assert "DIFFERENT" in out
    assert "differs from fingerprint by" in error
    assert "not the weights that their card describes" in error
    status, out, _ = verify(other, "--json")
    assert (status, json.loads(out)["agrees"]) == (2, False)


def test_recording_makes_them_the_ones_described(verify, other):
    before = store.read_card(other).fingerprint
    assert verify(other, "--record")[0] == 0
    assert store.read_card(other).fingerprint != before
    assert verify(other)[0] == 0


def test_a_file_has_no_fingerprint_until_it_is_a_checkpoint(verify, tmp_path):
    loaded = checkpoints.load(NAME)
    file = tmp_path / "a.safetensors"
    save_file(checkpoints.export_weights(loaded.model, loaded.variables), file)
    status, _, error = verify(file, "--model", "resnet8")
    assert status == 2
    assert "no fingerprint is recorded to compare it with: `--record` adds one" in error
    status, _, error = verify(file, "--model", "resnet8", "--record")
    assert (status, "make it a checkpoint directory" in error) == (2, True)
    assert main(["convert", str(file), "--model", "resnet8", "--out", str(tmp_path / "b")]) == 0
    assert verify(tmp_path / "b", "--record")[0] == 0
    assert verify(tmp_path / "b")[0] == 0


def test_what_cannot_be_done_is_said_in_one_sentence(verify, other, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    for arguments, message in (
        ((NAME, "--against", "caffe"), "must be one of timm, torchvision, got 'caffe'"),
        ((NAME, "--against", "timm"), "needs timm, which is not installed: pip install"),
        ((NAME, "--against", "timm", "--record"), "give `--record` or `--against`, not both"),
        (("resnet8.nothing",), "did you mean"),
    ):
        status, out, error = verify(*arguments)
        assert (status, out) == (2, ""), arguments
        assert message in error, arguments
    card = dataclasses.replace(store.read_card(other), fingerprint={"mean": 0.0})
    store.rewrite_card(other, card)
    assert "not of a form that is known" in verify(other)[2]
