"""`zoo bench`: turns, medians, and peers that compute the same numbers."""

import csv
import json
import sys
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import zoo
from jax_functional_zoo.__main__ import main
from tests.zoo.tiny import tiny
from train.bench.ours import plain_convolution
from train.bench.timing import Call, alternate


def test_calls_take_turns_and_medians_count():
    said = []
    durations = {"a": iter([50, 1, 2, 3, 4, 100]), "b": iter([7, 5, 5, 5, 5, 5])}
    now = [0.0]

    def run(name):
        said.append(name)
        now[0] += next(durations[name])

    first, second = alternate(
        [Call(partial(run, "a")), Call(partial(run, "b"), 2.5, 64)], 5, lambda: now[0]
    )
    assert "".join(said) == "ab" * 6
    assert (first.median, first.compile_seconds, first.memory) == (3, 47, None)
    assert first.spread == pytest.approx((52 - 1.5) / 3)
    assert second == (5, 0, 2.5, 64)


@pytest.mark.parametrize("name", ["resnext50_32x4d", "tf_efficientnet_lite0", "resnetv2_50x1_bit"])
def test_convolutions_of_linen_give_the_same_numbers(name, key):
    build, shape = tiny(name)
    model, images = build(), jax.random.normal(key, (2, *shape))
    variables = zoo.init_variables(model, key, images)
    apply = partial(model.apply, variables, train=False)
    with nn.intercept_methods(plain_convolution):
        program = str(jax.make_jaxpr(apply)(images))
        found = jax.jit(partial(apply))(images)  # traced anew
    expected = jax.jit(partial(apply))(images)  # traced anew
    assert program.count("dot_general[") == 1  # the head
    assert np.abs(found - expected).max() < 1e-5 * jnp.abs(expected).max()


@pytest.mark.slow
def test_the_command_writes_a_table_and_bars(capsys, tmp_path):
    options = ["--batch-size", "2", "--repeats", "3", "--against", "linen"]
    assert main(["bench", "resnet8", *options, "--out", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in rows] == ["forward", "step"]
    for row in rows:
        assert row["speed"] == row["peer_seconds"] / row["seconds"]
        assert row["compile_seconds"] > 0 < row["memory"]
    written = list(csv.DictReader((tmp_path / "bench.csv").read_text().splitlines()))
    assert [float(row["seconds"]) for row in written] == [row["seconds"] for row in rows]
    pixels = np.asarray(Image.open(tmp_path / "bench.png").convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet8", "--repeats", "0"], "`--repeats` must be positive, got 0"),
        (["resnet9"], "no architecture 'resnet9'"),
        (["resnet8", "--against", "timm"], "needs timm, which is not installed"),
        (["resnet8", "--against", "keras"], "of Keras there are inception_v3_keras"),
    ],
)
def test_what_cannot_be_timed_is_a_sentence(arguments, words, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err
