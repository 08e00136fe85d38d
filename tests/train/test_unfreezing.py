"""Training that begins at the head: what waits stays bit for bit, and a run resumes exactly."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import checkpoints
import train
import zoo
from checkpoints import store
from jax_functional_zoo.__main__ import main
from train import run_unfreezing
from train.methods.unfreezing import norms_unfreezing, starting, unfreezing
from train.parallel import AXIS
from zoo.errors import UsageError
from zoo.parameters import depths
from zoo.parameters.lora import lora

LAYERS = ("stem", "stage1_block0", "stage2_block0", "head")
STEPS = 6


@pytest.fixture(scope="module")
def network():
    model = zoo.create_model("resnet8", num_classes=3, stage_sizes=(1, 1), width=8)
    images = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    return model, zoo.init_variables(model, jax.random.key(0), images), images


def states(network, starts=None, how="jit"):
    """The state before each update, and the last."""
    model, variables, images = network
    optimizer, objective = optax.adamw(1e-2), train.supervised()
    if starts is not None:
        optimizer, objective = unfreezing(optimizer, starts), norms_unfreezing(objective, starts)
    options = {"objective": objective}
    state = train.create_state(variables, optimizer, key=jax.random.key(2), **options)
    step = train.make_train_step(
        model, optimizer, axis_name=None if how == "jit" else AXIS, **options
    )
    step = train.parallelize(step, how)
    batch = {"input": np.asarray(images), "label": np.arange(16) % 3}
    found = [jax.device_get(train.published(state))]
    for _ in range(STEPS):
        state, _ = step(state, batch, state.key)
        found.append(jax.device_get(train.published(state)))
    return found


def same(a, b):
    return all(bool((x == y).all()) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


@pytest.fixture(scope="module")
def gradual(network):
    starts = starting(depths(network[0], network[2]), first=2, every=2)
    return starts, states(network, starts)


def test_each_layer_and_its_statistics_wait_for_their_step(gradual):
    starts, found = gradual
    begins = dict(zip(LAYERS, (6, 4, 2, 0), strict=True))
    for layer, start in begins.items():
        assert set(jax.tree.leaves(starts[layer])) == {start}
        for step in range(STEPS):
            before, after = found[step], found[step + 1]
            waits = step < start
            for group in ("params", "batch_stats"):
                if layer in before[group]:
                    assert same(before[group][layer], after[group][layer]) == waits


def test_what_waits_for_nothing_is_trained_as_ever(network):
    plain, found = states(network), states(network, jax.tree.map(lambda _: 0, network[1]["params"]))
    for a, b in zip(jax.tree.leaves(plain[-1]), jax.tree.leaves(found[-1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_wrappers_give_the_same_numbers(network, gradual):
    starts, found = gradual
    other = states(network, starts, "shard_map")
    for a, b in zip(jax.tree.leaves(found[-1]), jax.tree.leaves(other[-1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_first_step_of_a_layer_is_no_larger_than_others():
    """Adam's moments of what waits are warm: else its first steps are six times as large."""
    starts = {"a": 0, "b": 100}
    optimizer = unfreezing(optax.adam(1.0), starts)
    params = {"a": jnp.ones(()), "b": jnp.ones(())}
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    moved = []
    for _ in range(110):
        updates, state = update(params, state, params)
        moved.append(float(updates["b"]))
    assert moved[:100] == [0.0] * 100
    np.testing.assert_allclose(moved[100:], -1.0, rtol=1e-3)


def test_factors_of_low_rank_wait_with_their_kernel(network):
    model, variables, images = network
    starts = starting(depths(model, images), first=3)
    trained, _ = lora(2, whole="^head/").split(variables["params"])
    found = run_unfreezing.beginnings(starts, trained)
    assert list(found) == [0, 3]
    assert found[0] == sum(leaf.size for leaf in jax.tree.leaves(trained["head"]))


def test_a_run_says_how_many_train_and_resumes_to_the_same_bits(tmp_path, capsys):
    options = ["--model", "resnet8", "--set", "stage_sizes=[1]", "width=8", "--steps", "4"]
    options += ["--dataset", "zoo_digits", "--batch-size", "16", "--save-every", "1"]
    options += ["--head-first", "1", "--unfreeze-every", "2", "--retention", "newest=9"]
    assert main(["train", *options, "--out", str(tmp_path / "whole")]) == 0
    assert "trains 90 numbers, 1,274 from step 1 on, 1,362 from step 3" in capsys.readouterr().out
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    for step in (2, 3, 4):
        shutil.rmtree(store.step_path(tmp_path / "parts", step))
    assert main(["train", "--resume", "--out", str(tmp_path / "parts")]) == 0
    whole, parts = (checkpoints.load(tmp_path / name).variables for name in ("whole", "parts"))
    assert same(whole, parts)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--head-first", "0"], "`--head-first` must be positive"),
        (["--unfreeze-every", "-1"], "`--unfreeze-every` must be positive"),
        (["--head-first", "5", "--freeze", "^head"], "`--head-first` trains the head first, and"),
    ],
)
def test_wrong_beginnings_are_a_sentence(options, said, tmp_path, capsys):
    out = tmp_path / "run"
    data = ["--model", "resnet8", "--dataset", "zoo_digits", "--out", str(out), "--steps", "1"]
    assert main(["train", *data, *options]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_steps_of_layers_are_not_negative():
    with pytest.raises(UsageError, match="`every` must be at least 0, got -1"):
        starting({"a": 0}, first=1, every=-1)
