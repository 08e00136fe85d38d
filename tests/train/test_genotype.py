"""Training a network whose cells are in a file."""

import json

import jax
import numpy as np
import pytest

import checkpoints
import train
import zoo

CELL = {
    "blocks": [{"left": ["conv_1x1", 0], "right": ["identity", 1], "combine": "add"}],
    "outputs": [2],
}
VALUE = {"normal": CELL, "reduction": CELL}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cells.json"
    path.write_text(json.dumps(VALUE))
    return path


def config(file, out, **changes):
    return train.Config(
        **{
            "model": "nasnet_nano",
            "genotype": str(file),
            "dataset": "zoo_digits",
            "steps": 2,
            "batch_size": 16,
            "out": str(out),
            **changes,
        }
    )


@pytest.mark.slow
def test_a_run_is_of_the_cells_in_the_file_and_keeps_them(file, tmp_path):
    result = train.fit(config(file, tmp_path / "run"))
    assert json.loads((result.directory / "config.json").read_text())["genotype"] == str(file)
    other = {**VALUE, "normal": {**CELL, "outputs": [1, 2]}}
    file.write_text(json.dumps(other))
    with pytest.raises(zoo.UsageError, match="a network with another `genotype`"):
        train.fit(config(file, tmp_path / "run", steps=3, resume=True))
    file.unlink()
    loaded = checkpoints.load(result.directory)
    assert loaded.model.genotype == zoo.nasnet.genotype_from_json(VALUE)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, train.published(result.state))


def test_resuming_with_another_file_is_refused(file, tmp_path):
    run = train.run_directory.run_directory(config(file, tmp_path / "run"))
    train.config_file.save(config(file, run), run / "config.json")
    with pytest.raises(zoo.UsageError, match=r"`genotype`: '.*cells.json' there, None here"):
        train.run_directory.run_directory(config(file, run, genotype=None, resume=True))


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        (None, {}, r"cells.json: No such file"),
        ("{", {}, r"cells.json must hold JSON, and does not: "),
        ("[]", {}, r"`genotype` must be an object with 'normal', 'reduction'"),
        ("{}", {"model": "resnet8"}, r"`model` resnet8 is none"),
        ("{}", {"model": None, "weights": "resnet8.digits"}, r"`genotype` goes with `model`"),
    ],
)
def test_what_is_no_genotype_leaves_nothing_behind(text, changes, words, file, tmp_path):
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(zoo.UsageError, match=words):
        train.fit(config(file, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()
