"""`zoo train --dry-run`: the plan of a run, told before any of it happens."""

import dataclasses
import re

import jax
import numpy as np
import optax
import pytest
from PIL import Image

import train
import zoo
from jax_functional_zoo.__main__ import main
from train.dry_run import described, plot, rehearse, state_bytes
from train.recipes import RECIPES

SMALL = {"stage_sizes": (1,), "width": 8}


def small(name, **fields):
    config = RECIPES[name]
    return dataclasses.replace(config, overrides={**config.overrides, **SMALL}, **fields)


def test_a_plot_has_the_shape_of_a_schedule():
    rise = plot(lambda step: step / 100, 101, columns=5, rows=2)
    assert rise == ["   ▄█", " ▄███", "0 at first, 1 at most, 1 at last"]
    steps = optax.piecewise_constant_schedule(0.1, {50: 0.5})
    assert plot(steps, 100, columns=4, rows=1) == [
        "██▄▄",
        "0.1 at first, 0.1 at most, 0.05 at last",
    ]
    assert plot(lambda step: 0.0, 1, columns=3, rows=1)[0] == ""


def test_data_that_is_not_here_is_stood_in_for_by_its_size():
    config = small("resnet50.a3_in1k")
    rehearsal = rehearse(config)
    assert not rehearsal.is_here
    assert "imagenet2012 is not here" in rehearsal.notes[0]
    planned = rehearsal.plan
    told = described(planned)
    assert "1,281,167 examples, 1,000 classes; 50,000 to evaluate on" in told["data"]
    assert told["length"].startswith("62,557 updates of 2,048, 100 epochs")
    assert "inputs 160x160x3, bfloat16" in told["model"]
    with pytest.raises(zoo.UsageError, match="oxford_flowers"):
        rehearse(dataclasses.replace(config, dataset="oxford_flowers102"))


def test_weights_and_teachers_are_not_fetched():
    transfer = dataclasses.replace(
        RECIPES["resnetv2_50x1_bit.cifar10"], overrides={"stage_sizes": (1,)}
    )
    rehearsal = rehearse(transfer)
    assert "resnetv2_50x1_bit.goog_in21k is not loaded" in rehearsal.notes[0]
    preprocess = rehearsal.plan.network.card.preprocess
    assert (preprocess.image_size, preprocess.mean) == (128, (0.5, 0.5, 0.5))
    distilled = dataclasses.replace(
        RECIPES["sret_t_distill.in1k"], model="resnet8", overrides=SMALL
    )
    rehearsal = rehearse(distilled)
    assert "teacher resnet152.a1h_in1k is not loaded" in rehearsal.notes[0]
    assert [c.name for c in rehearsal.plan.config.objective] == ["random_erasing"]


def test_the_state_is_counted_to_the_byte():
    config = train.Config(
        model="resnet8", dataset="zoo_digits", steps=3, overrides=SMALL, ema=0.9,
        optimization=train.OptimizerConfig(optimizer="sgd", clip_norm=None, warmup=0.0),
    )  # fmt: skip
    planned = rehearse(config).plan
    parameters = planned.network.card.parameters
    statistics = sum(
        leaf.size for leaf in jax.tree.leaves(planned.network.variables["batch_stats"])
    )
    least = 4 * (3 * parameters + statistics)  # parameters, momentum, average
    assert least <= state_bytes(planned) <= least + 64


@pytest.mark.parametrize("is_here", [True, False])
def test_the_command_tells_draws_and_compiles(is_here, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--recipe", "resnet50.a2_in1k", "--dry-run", "--set", "stage_sizes=[1]"]
    words += ["width=8", "--image-size", "32", "--batch-size", "48", "--dtype", "float32"]
    words += ["--dataset", "zoo_digits"] if is_here else []
    assert main(words) == 0
    out = capsys.readouterr().out
    for part in ("ResNet-50 in 300 epochs.", "4 V100", "79.80 % top-1", "lamb", "parameters"):
        assert part in out
    assert re.search(r"0 at first, 0.005 at most, \S+ at last", out)
    assert re.search(r"memory of each of 8: [\d.]+ MiB", out)
    drawn = tmp_path / "runs" / "resnet50.a2_in1k-first-batch.png"
    assert drawn.exists() == is_here
    if is_here:
        assert len(np.unique(np.asarray(Image.open(drawn)).reshape(-1, 3), axis=0)) > 50
    else:
        assert "note: imagenet2012 is not here" in out
        assert main([*words, "--show-batch", "batch.png"]) == 2
        assert "`--show-batch` needs data" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "resnet50-imagenet2012").exists()


def test_a_topology_is_for_dry_runs(capsys):
    words = ["train", "--model", "resnet8", "--dataset", "zoo_digits", "--topology", "v5e:1x1"]
    assert main(words) == 2
    assert "`--topology` goes with `--dry-run`" in capsys.readouterr().err
