"""Update rules, and what is done to gradients before them and to rates after them."""

import dataclasses
import math
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
from train.optimizer import make_optimizer
from train.update_rules import RULES, decayed
from zoo.parameters.depth import depths
from zoo.parameters.lora import lora

PLAIN = train.OptimizerConfig(
    optimizer="sgd:momentum=0.0,nesterov=false",
    learning_rate=1.0,
    schedule="constant",
    warmup=0.0,
    weight_decay=0.0,
    clip_norm=None,
)


def changed(**fields):
    return dataclasses.replace(PLAIN, **fields)


def updates(config, grads, params, times=1, **options):
    optimizer = make_optimizer(config, 100, **options)
    state, made = optimizer.init(params), []
    for _ in range(times):
        update, state = optimizer.update(grads, state, params)
        made.append(update)
    return made


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_descends_and_decays_kernels_only(rule):
    target = jax.random.normal(jax.random.key(0), (6, 4))
    params = {"kernel": jnp.ones((6, 4)), "scale": jnp.ones(4)}
    loss = lambda p: ((p["kernel"] - target) ** 2).sum() + (p["scale"] ** 2).sum()  # noqa: E731
    config = changed(optimizer=rule, learning_rate=0.03, weight_decay=0.5)
    zeros = jax.tree.map(jnp.zeros_like, params)
    decay = updates(config, zeros, params)[0]
    assert float(decay["kernel"].max()) < 0
    assert not decay["scale"].any()
    assert decayed(params) == {"kernel": True, "scale": False}

    optimizer = make_optimizer(dataclasses.replace(config, weight_decay=0.0), 40)

    def step(carry, _):
        params, state = carry
        update, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, update), state), loss(params)

    _, curve = jax.lax.scan(step, (params, optimizer.init(params)), length=40)
    share = {"lars": 0.99, "adadelta": 0.999}.get(rule, 0.7)  # whose rates are thousandths
    assert curve[-1] < share * curve[0]


def test_rmsprop_is_tensorflows():
    """Mean square from one, epsilon in the root, the rate inside the momentum."""
    rng = np.random.default_rng(0)
    w, grads = rng.normal(size=5), rng.normal(size=(6, 5))
    config = changed(optimizer="rmsprop:rho=0.8,momentum=0.7,eps=0.01", learning_rate=0.1)
    optimizer = make_optimizer(config, 10)
    ours = {"w": jnp.float32(w)}
    state = optimizer.init(ours)
    square, velocity = np.ones(5), np.zeros(5)
    for g in grads:
        update, state = optimizer.update({"w": jnp.float32(g)}, state, ours)
        ours = optax.apply_updates(ours, update)
        square = 0.8 * square + 0.2 * g**2
        velocity = 0.7 * velocity + 0.1 * g / np.sqrt(square + 0.01)
        w = w - velocity
    np.testing.assert_allclose(ours["w"], w, rtol=1e-5)


def test_adadelta_moves_as_far_as_it_did():
    w, square, moved = 1.0, 0.0, 0.0
    config = changed(optimizer="adadelta:rho=0.8,eps=0.01", learning_rate=0.5)
    found = updates(config, {"w": jnp.float32(2.0)}, {"w": jnp.float32(w)}, times=3)
    for update in found:
        square = 0.8 * square + 0.2 * 4
        step = 2 * math.sqrt(moved + 0.01) / math.sqrt(square + 0.01)
        moved = 0.8 * moved + 0.2 * step**2
        assert float(update["w"]) == pytest.approx(-0.5 * step, rel=1e-5)


def test_adafactor_decays_by_the_rate():
    params, zeros = {"kernel": jnp.ones((2, 2))}, {"kernel": jnp.zeros((2, 2))}
    config = changed(optimizer="adafactor", learning_rate=0.1, weight_decay=0.5)
    np.testing.assert_allclose(updates(config, zeros, params)[0]["kernel"], -0.05, rtol=1e-6)


def test_muon_makes_hidden_kernels_orthogonal_and_leaves_the_head_to_adam():
    key = jax.random.key(0)
    params = {
        "conv": {"kernel": jax.random.normal(key, (3, 3, 2, 8)), "bias": jnp.ones(8)},
        "head": {"kernel": jax.random.normal(key, (8, 4))},
    }
    grads = jax.tree.map(lambda p: jax.random.normal(jax.random.key(p.size), p.shape), params)
    made = updates(changed(optimizer="muon"), grads, params)[0]
    singular = jnp.linalg.svd(made["conv"]["kernel"].reshape(18, 8), compute_uv=False)
    assert singular.max() / singular.min() < 1.7  # five iterations leave 0.7 to 1.2
    adam = updates(changed(optimizer="adamw"), grads, params)[0]
    np.testing.assert_array_equal(made["head"]["kernel"], adam["head"]["kernel"])
    np.testing.assert_array_equal(made["conv"]["bias"], adam["conv"]["bias"])


def test_noise_of_gradients_has_its_variance_and_is_the_same_everywhere():
    """Variance eta / t^0.55 at update t, within 2 % of it over 1e5 draws."""
    zeros = {"w": jnp.zeros(100_000)}
    config = changed(gradient_noise=0.3)
    made = updates(config, zeros, zeros, times=3)
    for t, update in enumerate(made, start=1):
        assert float(update["w"].var()) == pytest.approx(0.3 / t**0.55, rel=0.02)
    np.testing.assert_array_equal(made[0]["w"], updates(config, zeros, zeros)[0]["w"])
    assert (made[0]["w"] != updates(config, zeros, zeros, seed=1)[0]["w"]).any()

    mesh = train.data_mesh(4)
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    placed = jax.device_put(zeros, everywhere)
    update = jax.jit(lambda z: updates(config, z, z)[0], out_shardings=everywhere)(placed)
    first, *others = (np.asarray(replica.data) for replica in update["w"].addressable_shards)
    assert len(others) == 3
    for other in others:
        np.testing.assert_array_equal(other, first)
    np.testing.assert_allclose(first, made[0]["w"], rtol=1e-5, atol=1e-6)


def test_adaptive_clipping_bounds_each_unit_and_spares_the_head():
    params = {"conv": {"kernel": jnp.full((2, 3), 2.0)}, "head": {"kernel": jnp.ones((3, 2))}}
    grads = jax.tree.map(lambda p: 10 * p, params)
    made = updates(changed(adaptive_clip=0.01), grads, params)[0]
    of_units = jnp.linalg.norm(params["conv"]["kernel"], axis=0)
    np.testing.assert_allclose(
        jnp.linalg.norm(made["conv"]["kernel"], axis=0), 0.01 * of_units, rtol=1e-5
    )
    np.testing.assert_array_equal(made["head"]["kernel"], -grads["head"]["kernel"])


@pytest.mark.parametrize("adapted", [False, True])
def test_rates_fall_from_the_head_to_the_input(adapted):
    model = zoo.create_model("resnet8", stage_sizes=(1, 1), width=4)
    images = jnp.zeros((1, 8, 8, 1))
    params = zoo.init_variables(model, jax.random.key(0), images)["params"]
    trained = lora(1, convolutions=True).split(params)[0] if adapted else params
    numbers = depths(model, images)
    grads = jax.tree.map(jnp.ones_like, trained)
    made = updates(changed(layer_decay=0.5), grads, trained, depths=numbers)[0]
    assert numbers["head"]["kernel"] == 3
    for path, update in jax.tree_util.tree_leaves_with_path(made):
        depth = {"stem": 0, "stage1_block0": 1, "stage2_block0": 2, "head": 3}[path[0].key]
        np.testing.assert_allclose(update, -(0.5 ** (3 - depth)))
    with pytest.raises(zoo.UsageError, match="`layer_decay` needs `depths` of the network"):
        updates(changed(layer_decay=0.5), grads, trained)


def test_parameters_learn_at_rates_of_their_own():
    config = changed(optimizer="adamw", learning_rate=1e-2, rates={"transition": 1e-4})
    params = {"transition": {"d": np.ones(3, np.float32)}, "C": np.ones(3, np.float32)}
    made = updates(config, params, params)[0]
    np.testing.assert_allclose(made["C"], -1e-2, rtol=1e-4)
    np.testing.assert_allclose(made["transition"]["d"], -1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"optimizer": "adamx"}, "`optimizer` must name one of .*did you mean 'adam"),
        ({"optimizer": "sgd:momentun=0.9"}, "`sgd` cannot take {'momentun': 0.9}"),
        ({"schedule": "polynomial:power=high"}, "`power` of `polynomial` must be a number"),
        ({"schedule": "cosin"}, "`schedule` must name one of .*did you mean 'cosine'"),
        ({"schedule": "steps:places=[1]"}, "`steps` cannot take"),
        ({"schedule": 'steps:at=["30 days"]'}, "`at` must be a share of the run below 1"),
        ({"warmup": 1.0}, "`warmup` must be a share of the run below 1, or as in '500 steps'"),
        ({"cooldown": "a while"}, "`cooldown` must be a share"),
        ({"layer_decay": 1.5}, "`layer_decay` must be above 0 and at most 1, got 1.5"),
        ({"adaptive_clip": -0.1}, "`adaptive_clip` must be positive"),
        ({"gradient_noise": -0.1}, "`gradient_noise` must be at least 0"),
    ],
)
def test_what_cannot_be_is_a_sentence_before_data_is_opened(fields, said):
    with pytest.raises(zoo.UsageError, match=said):
        train.plan(train.Config(optimization=train.OptimizerConfig(**fields), dataset="not/there"))


def test_a_run_with_all_of_it_resumes_to_the_same_bits(tmp_path):
    options = ["--model", "resnet8", "--set", "stage_sizes=[1]", "width=8", "--dataset"]
    options += ["zoo_digits", "--batch-size", "16", "--save-every", "2", "--steps", "4"]
    options += ["--optimizer", "muon:beta=0.9", "--schedule", "polynomial:power=0.9", "--warmup"]
    options += ["1steps", "--cooldown", "1steps", "--gradient-noise", "0.01", "--adaptive-clip"]
    options += ["0.1", "--layer-decay", "0.75"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for run in (whole, parts):
        assert main(["train", *options, "--out", str(run)]) == 0
    shutil.rmtree(store.step_path(parts, 4))
    assert main(["train", "--resume", "--out", str(parts)]) == 0
    ours, theirs = (checkpoints.load(run).variables for run in (parts, whole))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
