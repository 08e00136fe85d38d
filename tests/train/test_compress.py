"""Smaller networks: ordinary checkpoints of fewer bytes, within a budget, in few words."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import train
import zoo
from jax_functional_zoo.__main__ import main
from train.compress import bytes_of, within
from train.compress.method import Rung, stored_bytes
from train.recipes.digits import RESNET8
from zoo.errors import UsageError
from zoo.parameters.ternary import ternary

WEIGHTS = "resnet8.digits"


@pytest.fixture(scope="module")
def digits():
    return {split: train.load_dataset("zoo_digits", split) for split in ("train[:64]", "test[:32]")}


@pytest.fixture(scope="module")
def loaded():
    """A network of one block, which compiles fast."""
    shipped, overrides = checkpoints.weights_info(WEIGHTS), {"stage_sizes": (1,), "width": 8}
    model = zoo.create_model("resnet8", num_classes=10, **overrides)
    variables = zoo.init_variables(model, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    card = dataclasses.replace(shipped, overrides=overrides, fingerprint=None)
    return checkpoints.Pretrained(model, variables, card.preprocess, card, ())


def outputs(loaded, data):
    inputs = jnp.stack([loaded.preprocess(data[i]["input"]) for i in range(8)])
    return jax.jit(lambda v, x: loaded.model.apply(v, x, train=False))(loaded.variables, inputs)


@pytest.mark.parametrize(
    "method",
    [
        ternary("^stage"),
        "ternary:measure=mean,activations=true",
        "points:bits=3",
        "points:bits=2,learned=true",
    ],
)
def test_what_is_stored_smaller_answers_as_what_was_trained(method, loaded, digits, tmp_path):
    """To 1e-6; one update of each method, through the whole way of a user."""
    training, test = digits.values()
    small = train.compress(
        loaded, training, method=method, evaluation=test, epochs=1.0, batch_size=64
    )
    checkpoints.save(tmp_path / "small", small.variables, small.card)
    again = checkpoints.load(tmp_path / "small")
    found, expected = outputs(again, test), outputs(small, test)
    assert jnp.abs(found - expected).max() <= 1e-6 * jnp.abs(expected).max()
    before, after = (small.card.source[when] for when in ("before", "after"))
    assert after["bytes"] == stored_bytes(again.variables, again.card) < before["bytes"] / 3
    assert after["macs"] == before["macs"] > 0
    assert after["latency_ms"] > 0
    assert {"top1", "count"} <= before["metrics"].keys() & after["metrics"].keys()
    assert again.model == small.model


def test_a_network_of_other_widths_is_saved_and_loaded(tmp_path):
    """With nothing but its card; another head is fresh, and packing is for what was packed."""
    card = dataclasses.replace(
        checkpoints.weights_info(WEIGHTS),
        widths={"stage1_block0/conv1": {"features": 6}, "stage2_block0/conv2": {"rank": 4}},
        stored_as={"name": "ternary", "arguments": {"patterns": ["^stem/.*kernel"]}},
        fingerprint=None,
    )
    model = checkpoints.build.create_model(card)
    variables = zoo.init_variables(model, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    method = ternary("^stem/.*kernel")
    variables["params"] = method.join(*method.split(variables["params"]))
    checkpoints.save(tmp_path / "narrow", variables, card)
    again = checkpoints.load(tmp_path / "narrow")
    assert again.model == model
    assert jax.tree.all(jax.tree.map(np.array_equal, again.variables, variables))
    other = checkpoints.load(tmp_path / "narrow", num_classes=3)
    assert other.card.stored_as is None
    assert other.card.widths == card.widths
    assert other.fresh == ("params/head/bias", "params/head/kernel")


LARGE = ("tf_efficientnet_lite0", "resnet18")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", LARGE)
def test_networks_for_photographs_are_stored_smaller_and_answer(architecture, tmp_path):
    """With random weights; what is loaded has the numbers that were stored."""
    model, images = zoo.create_model(architecture), jnp.zeros((1, 32, 32, 3))
    variables = zoo.init_variables(model, jax.random.key(0), images)
    method = ternary()
    variables["params"] = method.join(*method.split(variables["params"]))
    card = checkpoints.Card("x", architecture, num_classes=1000, stored_as=method.stored_as)
    place = checkpoints.save(tmp_path / "small", variables, card)
    again = checkpoints.load(place)
    assert jax.tree.all(jax.tree.map(np.array_equal, again.variables, variables))
    logits = jax.jit(lambda v, x: again.model.apply(v, x, train=False))(again.variables, images)
    assert logits.shape == (1, 1000)
    assert jnp.isfinite(logits).all()
    written = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    assert written < stored_bytes(variables, dataclasses.replace(card, stored_as=None)) / 8


@pytest.mark.parametrize("architecture", LARGE)
def test_networks_of_the_catalogue_have_bytes_without_being_made(architecture):
    """Counts by shapes alone."""
    model = zoo.create_model(architecture)
    variables = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
    )
    card = checkpoints.Card("x", architecture)
    packed = dataclasses.replace(card, stored_as=ternary().stored_as)
    floats = stored_bytes(variables, card)
    assert floats == 4 * sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert stored_bytes(variables, packed) < floats / 10


@pytest.mark.parametrize(
    ("text", "count"),
    [("100kB", 100_000), ("1.5 MB", 1_500_000), ("64KiB", 65_536), ("7", 7), ("2k", 2000)],
)
def test_budgets_are_read(text, count):
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["", "kB", "-3", "10 apples", "0", "1e5"])
def test_what_is_no_budget_is_one_sentence(text):
    with pytest.raises(UsageError, match="`budget` must be a number of bytes"):
        bytes_of(text)


def test_the_largest_that_fits_is_made_and_the_smallest_is_named():
    ladder = [Rung(300, "a"), Rung(200, "b"), Rung(100, "c")]
    assert within(None, ladder, "x").setting == "a"
    assert within(250, ladder, "x").setting == "b"
    with pytest.raises(UsageError, match=r"50 bytes cannot be met by x: the smallest .* 100 bytes"):
        within(50, ladder, "x")


WRONG = {
    "one of ternary, points": ["--method", "turnary"],
    "cannot take": ["--method", "ternary:bits=3"],
    "`measure` must be one of": ["--method", "ternary:measure=mode"],
    "from 1 to 8, got 12": ["--method", "points:bits=12"],
    "`--budget` must be a number of bytes": ["--budget", "small"],
    "`--budget` 100 bytes cannot be met by points: the smallest": [
        "--method",
        "points",
        "--budget",
        "100",
    ],
    "`--epochs` must be at least 0": ["--epochs", "-1"],
    "is not a checkpoint, so it is not overwritten": ["--out", "."],
    "must be a file that ends in .png": ["--sweep", "figure.pdf"],
    "is no directory and none of the weights": ["--weights", "./nothing"],
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_are_one_sentence_before_anything_is_written(
    message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("stays")
    options = (
        WRONG[message] if "--weights" in WRONG[message] else ["--weights", WEIGHTS, *WRONG[message]]
    )
    assert main(["compress", *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.strip().count("\n") <= 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_the_command_writes_a_network_and_says_what_it_costs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--weights", WEIGHTS, "--method", "points", "--budget", "60kB", "--epochs", "0"]
    assert main(["compress", *options, "--out", "small", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["after"]["bytes"] <= 60_000 < told["before"]["bytes"]
    assert told["after"]["metrics"]["top1"] > 0.9
    card = checkpoints.load("small").card
    assert card.source["after"]["bytes"] == told["after"]["bytes"]
    assert card.stored_as["arguments"]["bits"] == 5


@pytest.mark.slow
def test_a_sweep_draws_all_methods(loaded, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints.save("tiny", loaded.variables, loaded.card)
    options = ["--weights", "tiny", "--sweep", "all.png", "--epochs", "0", "--json"]
    assert main(["compress", *options]) == 0
    points = json.loads(capsys.readouterr().out)
    assert {"as it is", "ternary", "points:bits=2"} <= {point["method"] for point in points}
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_ternary_digits_are_told_apart(zoo_process):
    """At least 0.97; in a process of its own, whose programs are compiled as a user's are."""
    options = ["--weights", WEIGHTS, "--method", "ternary", "--learning-rate", 4e-3]
    moved = [f"{call.name}:" + ",".join(f"{k}={v}" for k, v in call.arguments.items())
             for call in RESNET8.augment]  # fmt: skip
    process = zoo_process("compress", *options, "--augment", *moved, "--json", XLA_FLAGS="")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["after"]["metrics"]["top1"] >= 0.97
