"""Every recipe runs: five steps of its methods, rule and schedule on a small network."""

import dataclasses

import jax
import numpy as np
import pytest

import checkpoints
import train
import zoo
from tests.zoo.tiny import SHRINK, SIDES
from train.calls import Call
from train.loop import training_batches
from train.plan import plan, run_data
from train.recipes import DESCRIBED

STEPS, BATCH = 5, 6  # three views of two images


# One of each of these papers; the others of it differ in sizes and numbers.
CASES = (
    "resnet50.goyal256_in1k",
    "resnet50.a1_in1k",
    "resnetrs50.in1k",
    "resnet20.cifar10",
    "resnetv2_50x1_bit.pets",
    "tf_efficientnet_b0.in1k",
    "tnt_s_patch16_224.in1k",
    "sret_t_distill.in1k",
)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A network that reads digits at 32 pixels."""
    loaded = checkpoints.load("resnet8.digits")
    preprocess = dataclasses.replace(loaded.preprocess, image_size=32)
    folder = tmp_path_factory.mktemp("teacher") / "of-32-pixels"
    checkpoints.save(
        folder, loaded.variables, dataclasses.replace(loaded.card, preprocess=preprocess)
    )
    return str(folder)


def shrunk(name, teacher):
    """The recipe's tiny form on a network of two small stages."""
    recipe = DESCRIBED[name]
    architecture = recipe.tiny().model
    model, family = zoo.create_model(architecture), zoo.model_info(architecture).family
    config, side = recipe.tiny(**SHRINK[family](model)), max(SIDES[family])
    overrides, objective = dict(config.overrides), config.objective
    if overrides.pop("norm", None):  # a card holds JSON only, and 32 channels have 32 groups
        overrides["width"] = 32
    if getattr(model, "stem_cells", 0):
        side = 67  # the least with an auxiliary head
    if "image_size" in overrides:
        side, overrides["image_size"] = 32, (32, 32)
    if "slices" in overrides:  # which divide 16 and 4 tokens
        overrides |= {"slices": (2, 2), "permuted_slices": (2, 1)}
    if family == "inception":  # whose small forms keep long stems and no auxiliary head
        config = dataclasses.replace(config, model="inception_nano")
        overrides, side = {"drop_rate": recipe.config.overrides["drop_rate"]}, 16
        objective = tuple(call for call in objective if call.name != "auxiliary")
    objective = tuple(
        Call(c.name, c.arguments | {"teacher": teacher}) if c.name == "distillation" else c
        for c in objective
    )
    return dataclasses.replace(
        config, overrides=overrides, objective=objective, image_size=side, batch_size=BATCH
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_five_steps(name, teacher):
    config = shrunk(name, teacher)
    planned = plan(config, data=run_data(config))
    optimizer, network = planned.optimizer, planned.network
    state = train.create_state(
        network.variables,
        optimizer,
        key=jax.random.key(0),
        objective=planned.objective,
        average=config.ema,
    )
    step = jax.jit(train.make_train_step(network.model, optimizer, objective=planned.objective))
    batches = training_batches(planned, 0)
    for _ in range(STEPS):
        state, metrics = step(state, next(batches), state.key)
        assert np.isfinite(float(metrics["loss"]))
    batches.close()
    assert planned.steps == int(state.step) == STEPS
    before, after = network.variables["params"], state.trained
    moved = [
        float(abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    ]
    assert np.isfinite(moved).all()
    assert np.mean(np.array(moved) > 0) > 0.9


def test_a_tiny_form_keeps_what_a_recipe_is_about():
    recipe = DESCRIBED["resnet50.a1_in1k"]
    config = recipe.tiny(stage_sizes=(1,), width=8)
    assert (config.steps, config.dataset, config.dtype) == (5, "zoo_digits", "float32")
    assert config.overrides == {"drop_path": 0.05, "stage_sizes": (1,), "width": 8}
    kept = ("optimization", "objective", "augment", "ema")
    assert all(getattr(config, n) == getattr(recipe.config, n) for n in kept)
    assert DESCRIBED["sret_t_distill.in1k"].tiny().objective[0].arguments["teacher"] == (
        "resnet8.digits"
    )
    transfer = DESCRIBED["resnetv2_50x1_bit.pets"].tiny()
    assert (transfer.model, transfer.weights) == ("resnetv2_50x1_bit", None)
