"""`zoo convert`: there and back, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import checkpoints
import zoo
from jax_functional_zoo.__main__ import main

NAME = "resnet8.digits"


@pytest.fixture
def convert(capsys):
    """`convert(...)`: exit status, stdout and stderr of `zoo convert`."""

    def run(*arguments):
        status = main(["convert", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_there_and_back_is_bit_for_bit(convert, tmp_path):
    file, directory, again = (tmp_path / n for n in ("a.safetensors", "b", "c.safetensors"))
    assert convert(NAME, "--to", file) == (0, f"written: {file}\n", "")
    assert convert(file, "--out", directory, "--model", "resnet8")[0] == 0
    assert convert(directory, "--to", again, "--target", "timm")[0] == 0
    assert again.read_bytes() == file.read_bytes()
    shipped, loaded = checkpoints.load(NAME), checkpoints.load(directory)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, shipped.variables)
    assert loaded.card.architecture == "resnet8"
    assert loaded.card.source["kind"] == "file"


def test_the_preprocessing_is_guessed_aloud_or_named(convert, tmp_path):
    file, guessed, named = (tmp_path / n for n in ("resnet8.safetensors", "guessed", "named"))
    convert(NAME, "--to", file)
    status, _, error = convert(file, "--out", guessed)
    assert status == 0
    assert "no weights of resnet8 are published" in error
    assert convert(file, "--out", named, "--preprocess-like", NAME)[0::2] == (0, "")
    expected = checkpoints.load(NAME).preprocess
    assert checkpoints.load(named).preprocess == expected
    assert checkpoints.load(guessed).preprocess != expected


def test_the_file_is_as_the_library_writes_it(convert, tmp_path):
    file = tmp_path / "a.safetensors"
    assert convert(NAME, "--to", file)[0] == 0
    loaded = checkpoints.load(NAME)
    expected = checkpoints.export_weights(loaded.model, loaded.variables, "timm")
    found = load_file(file)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor)
    with safe_open(file, framework="np") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_the_names_of_another_library(convert, tmp_path):
    model = zoo.create_model("tnt_nano")
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(0), image)
    file, other = tmp_path / "tnt_nano.safetensors", tmp_path / "other.safetensors"
    save_file(checkpoints.export_weights(model, variables, "timm"), file)
    assert convert(file, "--to", other, "--target", "tnt")[0] == 0
    expected, found = checkpoints.export_weights(model, variables, "tnt"), load_file(other)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_what_cannot_be_done_is_said_in_one_sentence(convert, tmp_path):
    save_file({"w": np.ones(2)}, tmp_path / "x.safetensors")
    for arguments, message in (
        ((NAME,), "give either `--to FILE.safetensors` or `--out DIRECTORY`"),
        ((NAME, "--to", "a.safetensors", "--out", "b"), "give either"),
        ((NAME, "--out", tmp_path / "b", "--target", "timm"), "`--out` writes our own"),
        ((NAME, "--to", tmp_path / "a.pth"), "`--to` writes safetensors files"),
        ((NAME, "--to", tmp_path / "x.safetensors"), "exists and is not overwritten"),
        ((NAME, "--to", tmp_path / "no" / "a.safetensors"), "there is no directory"),
        ((NAME, "--to", tmp_path / "a.safetensors", "--target", "caffe"), "'caffe'; known: timm"),
        ((tmp_path / "x.safetensors", "--out", tmp_path / "b"), "does not say which model"),
        ((tmp_path / "x.safetensors", "--out", tmp_path / "b", "--model", "resnet8"), "missing"),
    ):
        status, out, error = convert(*arguments)
        assert (status, out) == (2, "")
        assert message in error, arguments
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
