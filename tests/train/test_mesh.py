"""States in parts: the curve of whole ones, in a share of their memory."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import checkpoints
import train
from checkpoints import store
from jax_functional_zoo.__main__ import main
from tests.train.test_accumulation import batch_of
from tests.train.test_fit import same_bits
from train import mesh as meshes
from train import run_checkpoints
from train.methods.teacher import mean_teacher
from zoo.errors import UsageError
from zoo.layers.norm import BatchNorm


class Wide(nn.Module):
    """Nearly all its numbers are in kernels that eight divides."""

    @nn.compact
    def __call__(self, images, *, train):
        x = images.reshape(len(images), -1)
        x = nn.Dense(64, param_dtype=images.dtype, name="in")(x)
        x = nn.relu(BatchNorm(train=train, name="norm")(x[:, None, None])[:, 0, 0])
        x = nn.Dropout(0.2, deterministic=not train)(x)
        x = nn.Dense(256, param_dtype=images.dtype, name="hidden")(x)
        return nn.Dense(3, param_dtype=images.dtype, name="head")(x)


OPTIMIZER, TEACHER = optax.adam(0.01), mean_teacher(decay=0.9)


def begun(dtype=jnp.float32):
    """A network and a state with an average and a teacher, on one device."""
    model, images = Wide(), batch_of(24, dtype)["input"]
    variables = model.init(jax.random.key(0), images[:1], train=False)
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype), variables)
    options = {"objective": TEACHER, "average": 0.9}
    return model, train.create_state(variables, OPTIMIZER, key=jax.random.key(1), **options)


def trained(shape, accumulate):
    """State and losses of twenty steps in float64 in which everything is random that can be."""
    model, state = begun(jnp.float64)
    step = train.make_train_step(model, OPTIMIZER, objective=TEACHER, accumulate=accumulate)
    step, curve = train.parallelize(step, mesh=train.make_mesh(shape)), []
    for _ in range(20):
        state, metrics = step(state, batch_of(24, jnp.float64), state.key)
        curve.append(float(metrics["loss"]))
    return state, curve


def held(tree):
    """Bytes on each device, and of all together."""
    on = dict.fromkeys(jax.devices(), 0)
    for shard in (shard for leaf in numbers(tree) for shard in leaf.addressable_shards):
        on[shard.device] += shard.data.nbytes
    return list(on.values()), sum(leaf.nbytes for leaf in numbers(tree))


def numbers(tree):
    """All leaves but random keys."""
    return [x for x in jax.tree.leaves(tree) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]


@pytest.mark.parametrize("accumulate", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_parts_train_as_wholes_do_to_the_last_digits(accumulate):
    with jax.enable_x64(True):
        whole, expected = trained(None, accumulate)
        for shape in ("data=4,fsdp=2", "fsdp=8"):
            state, found = trained(shape, accumulate)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
            for ours, theirs in zip(numbers(state), numbers(whole), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
            before = meshes.spread(begun(jnp.float64)[1], train.make_mesh(shape))
            assert held(state) == held(before)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_a_device_holds_its_part(parts):
    state = meshes.spread(begun()[1], train.make_mesh(f"fsdp={parts}"))
    for tree in (state.trained, state.opt_state, state.average.params, state.memory):
        devices, total = held(tree)
        assert len(set(devices)) == 1
        assert total / parts <= devices[0] < 1.5 * total / parts  # biases and the head are whole
        kernels = [x for x in jax.tree.leaves(tree) if x.size >= meshes.SMALL]
        assert held(kernels)[0] == [held(kernels)[1] // parts] * 8


def test_leaves_are_split_along_their_longest_axis_that_can_be():
    mesh = train.make_mesh("data=2,fsdp=4")
    spec = lambda *shape: tuple(meshes.sharding_of(np.zeros(shape), mesh).spec)  # noqa: E731
    assert spec(3, 3, 64, 128) == (None, None, None, "fsdp")
    assert spec(256, 127) == ("fsdp", None)
    assert spec(63, 65) == spec(8, 8) == spec() == ()


RUN = ("--model", "resnet8", "--dataset", "zoo_digits", "--batch-size", "16", "--eval-every", "99")


def test_what_one_mesh_has_saved_every_other_reads_to_the_bit(tmp_path):
    fresh = begun()[1]
    changed = fresh.replace(trained=jax.tree.map(lambda x: x + 1, fresh.trained))
    state = meshes.spread(changed, train.make_mesh("data=2,fsdp=4"))
    card = checkpoints.Card("wide", "wide", num_classes=3, class_names=("a", "b", "c"))
    run_checkpoints.save(tmp_path, state, card, step=2, infinite=frozenset())
    found = run_checkpoints.restore(store.step_path(tmp_path, 2), card, fresh)
    assert found.trained["hidden"]["kernel"].devices() == {jax.devices()[0]}
    assert same_bits(found, changed)
    for shape in (None, "fsdp=8"):
        assert same_bits(meshes.spread(found, train.make_mesh(shape)), changed)


@pytest.mark.slow
def test_a_run_in_parts_evaluates_publishes_and_goes_on_elsewhere(tmp_path):
    said = []
    reporter = train.report.Reporter()
    reporter.say = said.append
    config = train.Config(
        model="resnet8",
        dataset="zoo_digits",
        batch_size=16,
        log_every=1,
        steps=2,
        ema=0.9,
        mesh="data=4,fsdp=2",
        out=str(tmp_path / "run"),
    )
    first = train.fit(config)
    assert first.metrics["count"] == 360
    loaded = checkpoints.load(first.directory)
    assert same_bits(loaded.variables, train.published(first.state))
    again = dataclasses.replace(config, mesh=None, steps=3, resume=True)
    second = train.fit(again, reporter)
    assert second.state.trained["stem"]["conv"]["kernel"].is_fully_replicated
    assert [row["step"] for row in second.history] == [1, 2, 3]
    assert "`mesh`: data=4,fsdp=2 before, now None" in said


@pytest.mark.parametrize("how", ["pmap", "shard_map"])
def test_only_jit_holds_parts(how, capsys):
    with pytest.raises(UsageError, match=f"needs `how` 'jit', got '{how}'"):
        train.parallelize(lambda *_: None, how, mesh=train.make_mesh("fsdp=2"))
    assert main(["train", *RUN, "--mesh", "fsdp=2", "--parallel", how]) == 2
    assert "leave `--parallel` at jit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (
            "data=3,fsdp=2",
            "must hold all devices, which are 8, and data=3,fsdp=2 arranges 6; possible",
        ),
        ("fsdp=3", "possible are fsdp=1, fsdp=2, fsdp=4, fsdp=8"),
        ("model=2", "as in data=4,fsdp=2; got 'model=2'"),
        ("fsdp=0", "got 'fsdp=0'"),
        ("fsdp=2,fsdp=4", "got 'fsdp=2,fsdp=4'"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(shape, words, capsys):
    assert main(["train", *RUN, "--mesh", shape]) == 2
    assert words in capsys.readouterr().err


def test_the_command_shows_what_a_device_saves(capsys):
    def compiled(*options):
        network = ["resnet8", "--image-size", "8", "--batch-size", "8"]
        assert main(["compile", *network, *options, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    whole, parts = compiled(), compiled("--mesh", "fsdp=8")
    assert parts["mesh"] == {"data": 1, "fsdp": 8}
    assert parts["state_and_batch"] < 0.2 * whole["state_and_batch"]
    assert parts["collectives"]["all-gather"] > 0
