"""`--resume`, `--config` and `--recipe`: what holds where no option is given."""

import dataclasses
import json

import pytest

import train
from jax_functional_zoo.__main__ import main
from train import config_file
from train.recipes import RECIPES

SAVED = train.Config(
    model="resnet8",
    dataset="zoo_digits",
    steps=7,
    skip_broken=True,
    optimization=train.OptimizerConfig(learning_rate=0.5, clip_norm=None, rates={"head": 1e-4}),
    augment=train.Augment(flip=True),
)


@pytest.fixture
def started(monkeypatch):
    """`started("train", ...)`: the config that a command would run."""
    ran = []

    def remember(config, _):
        ran.append(config)
        raise SystemExit(0)

    monkeypatch.setattr("train.cli.train.fit", remember)
    monkeypatch.setattr("train.cli.finetune.finetune", lambda config, **_: remember(config, None))

    def start(*arguments):
        with pytest.raises(SystemExit):
            main([str(a) for a in arguments])
        return ran.pop()

    return start


@pytest.fixture
def run(tmp_path):
    """The directory of a run, of which only the config matters."""
    directory = tmp_path / "run"
    directory.mkdir()
    config_file.save(dataclasses.replace(SAVED, out="elsewhere"), directory / "config.json")
    return directory


def test_a_config_survives_the_file(tmp_path):
    for config in (SAVED, *RECIPES.values()):
        config_file.save(config, tmp_path / "config.json")
        assert config_file.read(tmp_path) == config


def test_resume_and_out_are_enough(started, run):
    wanted = dataclasses.replace(SAVED, out=str(run), resume=True)
    assert started("train", "--resume", "--out", run) == wanted
    assert started("train", f"--out={run}", "--resume", "--flip", "--epochs", 2) == (
        dataclasses.replace(wanted, steps=None, epochs=2.0)
    )


def test_a_directory_is_enough_from_python_too(run):
    resumed = train.Config(out=str(run), resume=True)
    assert config_file.completed(resumed) == dataclasses.replace(SAVED, out=str(run), resume=True)
    longer = dataclasses.replace(resumed, epochs=9.0, threads=1)
    assert config_file.completed(longer) == dataclasses.replace(
        SAVED, out=str(run), resume=True, steps=None, epochs=9.0, threads=1
    )
    for other in (SAVED, dataclasses.replace(resumed, out=f"{run}-2")):
        assert config_file.completed(other) is other


def test_resume_finds_the_newest_run_of_that_name(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "runs" / "resnet8-zoo_digits-3"
    directory.mkdir(parents=True)
    config_file.save(SAVED, directory / "config.json")
    config = started("train", "--resume", "--model", "resnet8", "--dataset", "zoo_digits")
    assert config.steps == 7
    assert config.out == "runs/resnet8-zoo_digits-3"


def test_a_config_file_starts_another_run(started, run):
    for place in (run, run / "config.json"):
        config = started("train", "--config", place, "--seed", 3, "--no-flip")
        assert config == dataclasses.replace(
            SAVED, seed=3, augment=train.Augment(), out=None, resume=False
        )


def test_finetuning_goes_on_without_other_options(started, tmp_path):
    saved = dataclasses.replace(SAVED, model=None, weights="resnet8.digits")
    config_file.save(saved, tmp_path / "config.json")
    assert started("finetune", "--resume", "--out", tmp_path).weights == "resnet8.digits"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stepps": 3}, "there is no 'stepps'; did you mean 'steps'"),
        ({"steps": "3"}, "'steps' must be int | None, got '3'"),
        ({"batch_size": 8.5}, "'batch_size' must be int, got 8.5"),
        ({"parallel": "vmap"}, "'parallel' must be Literal"),
        ({"optimization": {"rates": {"head": "fast"}}}, "'rates': 'head' must be float"),
        ({"augment": [1]}, "'augment' must be Call"),
        ({"batch_size": -1}, "`--batch-size` must be positive"),
    ],
)
def test_a_config_that_is_none_is_refused_with_the_place(run, change, words, capsys):
    file = run / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert main(["train", "--config", str(file)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", '{"model": "resn', "[1, 2]", "\0\0\0"])
@pytest.mark.parametrize("how", [["--config"], ["--resume", "--out"]])
def test_a_config_that_was_cut_short_is_a_sentence(run, content, how, capsys):
    (run / "config.json").write_text(content)
    assert main(["train", *how, str(run)]) == 2
    err = capsys.readouterr().err
    assert "config.json" in err
    assert "Traceback" not in err


def test_what_cannot_be_found_is_named(tmp_path, capsys):
    assert main(["train", "--config", str(tmp_path / "none.json")]) == 2
    assert "no config can be read from" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", str(tmp_path / "none")]) == 2
    assert "no run to resume was read from `--out`" in capsys.readouterr().err
    assert main(["train", "--config", "a", "--recipe", "b"]) == 2
    assert "give `--recipe` or `--config`, not both" in capsys.readouterr().err
