"""Methods that a config names: they train, resume from the directory alone, and are checked."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import checkpoints
import train
import zoo
from checkpoints import store
from jax_functional_zoo.__main__ import main
from train import methods
from train.config import Call
from train.methods.mixing import mixup

TINY = {"stage_sizes": [1], "width": 8}


def config(directory, **changes):
    return train.Config(
        **{
            "model": "resnet8",
            "dataset": "zoo_digits",
            "overrides": TINY,
            "steps": 4,
            "batch_size": 16,
            "save_every": 2,
            "eval_every": 4,
            "out": str(directory),
        }
        | changes
    )


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("objective", "parameters"),
    [
        pytest.param(
            (Call("mean_teacher", {"decay": 0.5}), Call("mixup", {"alpha": 0.3})),
            (),
            marks=pytest.mark.slow,
        ),
        (
            (
                Call("distillation", {"teacher": "resnet8.digits", "weight": 0.5}),
                Call("adversarial", {"eps": 0.05, "steps": 1}),
                Call("sharpness_aware"),
            ),
            (Call("frozen", {"patterns": "^stem"}), Call("lora", {"rank": 2, "whole": "^head"})),
        ),
    ],
)
def test_a_run_with_methods_resumes_from_its_directory_alone(objective, parameters, tmp_path):
    named = {"objective": objective, "parameters": parameters, "ema": 0.9}
    whole = train.fit(config(tmp_path / "whole", **named))
    train.fit(config(tmp_path / "parts", **named))
    shutil.rmtree(store.step_path(tmp_path / "parts", 4))
    assert main(["train", "--resume", "--out", str(tmp_path / "parts")]) == 0
    ours, theirs = (checkpoints.load(tmp_path / name) for name in ("parts", "whole"))
    same(ours.variables, theirs.variables)
    assert ours.model.stage_sizes == (1,)
    made = methods.parameters_of(parameters)
    same(theirs.variables, train.published(whole.state, made))
    if parameters:
        begun = zoo.init_variables(
            ours.model, train.network.init_key(config(tmp_path)), np.zeros((1, 8, 8, 1), np.float32)
        )
        same(ours.variables["params"]["stem"], begun["params"]["stem"])


def test_what_is_frozen_stays_with_its_statistics(tmp_path, capsys):
    out = str(tmp_path / "run")
    options = ["--model", "resnet8", "--set", "stage_sizes=[1,1]", "width=8", "--batch-size", "16"]
    options += ["--dataset", "zoo_digits", "--steps", "50", "--out", out]
    options += ["--objective", "focal", "--class-weights", "balanced"]
    assert main(["train", *options, "--freeze", "^stem", "^stage1_"]) == 0
    assert "trains 3,690 numbers; the network has 4,962 parameters" in capsys.readouterr().out
    loaded = checkpoints.load(out)
    begun = zoo.init_variables(
        loaded.model, train.network.init_key(config(out)), np.zeros((1, 8, 8, 1), np.float32)
    )
    for part in ("stem", "stage1_block0"):
        for group in ("params", "batch_stats"):
            same(loaded.variables[group][part], begun[group][part])
    for group in ("params", "batch_stats"):
        for now, before in zip(
            *(jax.tree.leaves(v[group]["stage2_block0"]) for v in (loaded.variables, begun)),
            strict=True,
        ):
            assert (now != before).any()
    assert main(["train", "--resume", "--out", out, "--freeze", "^stem", "^stage1_"]) == 0


def test_a_value_from_python_is_recorded_and_wanted_again(tmp_path):
    objective = train.on(mixup(0.2), train.supervised())
    begun = config(tmp_path / "run", steps=2)
    train.fit(begun, objective=objective)
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["objective"] == [{"name": "python:train.objective.on", "arguments": {}}]
    go_on = dataclasses.replace(begun, steps=4, resume=True)
    with pytest.raises(zoo.UsageError, match="objective"):
        train.fit(go_on)
    assert main(["train", "--resume", "--out", str(tmp_path / "run"), "--steps", "4"]) == 2
    resumed = train.fit(go_on, objective=objective)
    assert int(resumed.state.step) == 4


def test_fields_of_the_network_are_set_and_checked(tmp_path, capsys):
    options = ["--dataset", "zoo_digits", "--steps", "1", "--out", str(tmp_path / "run")]
    options += ["--model", "resnet8", "--set", "stage_sizes=[1]", "width=8", "--set"]
    assert main(["train", *options, "drop_path=0.25"]) == 0
    model = checkpoints.load(tmp_path / "run").model
    assert (model.stage_sizes, model.width, model.drop_path) == ((1,), 8, 0.25)
    for word, said in [
        ("drop_pth=0.1", "did you mean 'drop_path'"),
        ("drop_path", "must be of the form NAME=VALUE"),
        ("num_classes=3", "cannot set num_classes"),
    ]:
        assert main(["train", *options, word]) == 2
        assert said in capsys.readouterr().err
    weights = ["finetune", "--weights", "resnet8.digits", "--dataset", "zoo_digits", "--steps", "1"]
    assert main([*weights, "--set", "width=3"]) == 2
    assert "change what `--weights` hold: head/kernel is (64, 10)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--objective", "mixpu"], "did you mean 'mixup'"),
        (["--objective", "mixup:alhpa=1"], "unexpected keyword argument 'alhpa'"),
        (["--objective", "auxiliary"], "ResNet has no such method"),
        (["--objective", "scheduled_drop_path"], "ResNet takes no such argument"),
        (["--parameters", "frozen:patterns=haed"], "did you mean 'head'"),
        (["--parameters", "lora:rank=0"], "`rank` must be at least 1"),
        (["--freeze", "^stm"], "did you mean 'stem'"),
        (["--freeze", "."], "leaves no parameter to train"),
        (["--lora", "2"], "finds no kernel of two axes, as dense maps have"),
    ],
)
def test_wrong_methods_are_a_sentence(option, said, tmp_path, capsys):
    model = ["--model", "resnet8", "--set", "stage_sizes=[1]", "width=8"]
    rest = ["--dataset", "zoo_digits", "--steps", "1", "--out", str(tmp_path / "run")]
    assert main(["train", *option, *model, *rest]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / "steps").exists()


def test_calls_are_read_as_they_are_written():
    for text in ("mixup", 'lora:rank=4,whole=["^head/", "norm"]', 'frozen:patterns="a,b"'):
        assert str(Call.parsed(text)) == text
    assert Call.parsed("frozen:patterns=^stem").arguments == {"patterns": "^stem"}
    assert Call.parsed("adversarial:eps=0.1,steps=3").arguments == {"eps": 0.1, "steps": 3}
