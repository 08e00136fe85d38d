"""Runs that name augmentations: they train, resume from the directory alone, and are checked."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import checkpoints
import train
from checkpoints import store
from jax_functional_zoo.__main__ import main
from train import config_file
from train.augment import NAMES
from train.calls import Call

TINY = ["--model", "resnet8", "--set", "stage_sizes=[1]", "width=8", "--batch-size", "24"]
ALL = [name for name in NAMES if name != "repeated"]


def test_a_run_with_all_of_them_resumes_from_its_directory_alone(pictures, tmp_path):
    options = [*TINY, "--dataset", str(pictures), "--steps", "3", "--save-every", "2"]
    options += ["--flip", "--rotate", "5", "--augment", *ALL[1:], "repeated:views=3"]
    assert main(["train", *options, "--out", str(tmp_path / "run")]) == 0
    whole = checkpoints.load(tmp_path / "run").variables
    shutil.rmtree(store.step_path(tmp_path / "run", 3))
    assert main(["train", "--resume", "--out", str(tmp_path / "run")]) == 0
    resumed = checkpoints.load(tmp_path / "run").variables
    for x, y in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(x, y)
    named = [call.name for call in config_file.read(tmp_path / "run").augment]
    assert named == ["horizontal_flip", "affine", *ALL[1:], "repeated"]


@pytest.fixture
def planned(monkeypatch):
    """`planned("train", ...)`: the config that a command would run."""
    ran = []

    def remember(config, _):
        ran.append(config)
        raise SystemExit(0)

    monkeypatch.setattr("train.cli.train.fit", remember)

    def start(*arguments):
        with pytest.raises(SystemExit):
            main(["train", *map(str, arguments)])
        return ran.pop()

    return start


def test_short_options_come_before_calls_and_change_a_recipe(planned):
    config = planned("--flip", "--augment", "randaugment:magnitude=5", "random_erasing")
    rest = (Call("randaugment", {"magnitude": 5}), Call("random_erasing"))
    assert config.augment == (Call("horizontal_flip"), *rest)
    recipe = planned("--recipe", "resnet8.digits", "--rotate", "3", "--augment", "augmix")
    assert recipe.augment == (
        Call("affine", {"rotate": 3.0, "translate": 0.08, "scale": 0.12, "shear": 8.0}),
        Call("augmix"),
    )


def test_what_an_earlier_version_saved_is_read(planned, tmp_path):
    before = {"rotate": 5.0, "translate": 0.0, "scale": 0.0, "shear": 0.0, "flip": True}
    config = dataclasses.asdict(train.Config(model="resnet8", dataset="zoo_digits"))
    saved = json.dumps(config | {"augment": before | {"crop": 0.5}})
    (tmp_path / "config.json").write_text(saved)
    short = train.Augment(rotate=5.0, flip=True, crop=0.5)
    assert config_file.read(tmp_path).augment == short.calls
    assert planned("--config", tmp_path, "--no-flip").augment == (
        dataclasses.replace(short, flip=False).calls
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--augment", "randagument"], "did you mean 'randaugment'"),
        (["--augment", "augmix:severity=0"], "'severity' must be from 1 to 10, got 0"),
        (["--augment", "repeated:views=5"], "must be divisible by the 5 views, got 24"),
        (["--crop", "0.5", "--augment", "random_resized_crop"], "random_resized_crop twice"),
        (["--rotate", "200"], "`--rotate` must be from 0 to 180, got 200"),
    ],
)
def test_wrong_augmentations_are_a_sentence(options, said, tmp_path, capsys):
    rest = ["--dataset", "nowhere", "--steps", "1", "--out", str(tmp_path / "run")]
    assert main(["train", *TINY, *options, *rest]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_series_take_none(tmp_path, capsys):
    model = ["--model", "hopfield_lookup_nano", "--dataset", "zoo_tables/wine"]
    options = ["--flip", "--augment", "randaugment", "--out", str(tmp_path / "run")]
    assert main(["train", *model, *options]) == 2
    said = capsys.readouterr().err
    assert "`--flip`, `randaugment` are for images, and zoo_tables/wine holds series" in said
