"""What recipes come to, beside the figures of their papers.

The table holds the papers' own figures. What stands beside them is computed from a recipe: rates by
its schedule, decay and averages by what they do to parameters, augmentation by what it draws.
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

import train
import zoo
from checkpoints.preprocess import Preprocess
from train.augment import augmentation_of
from train.optimizer import make_optimizer
from train.plan import total_steps
from train.recipes import DESCRIBED
from train.recipes.bit import hyper_rule
from train.update_rules import decayed

IMAGENET, CIFAR, PETS = 1_281_167, 50_000, 3_680
EXAMPLES = {"imagenet2012": IMAGENET, "cifar10": CIFAR, "oxford_iiit_pet": PETS}
GOYAL = {0: 0.1, 29.9: 0.1, 30.1: 0.01, 60.1: 1e-3, 80.1: 1e-4}
RMSPROP = {1.9: 0.045, 2.1: 0.045 * 0.94, 99.9: 0.045 * 0.94**49}
DEIT = {0: 1e-6, 5: 1e-3, 152.5: (1e-3 + 1e-5) / 2, 300: 1e-5}
RS = {0: 0.0, 5: 1.6, 177.5: 0.8, 350: 0.0}
B0 = {0: 0.0, 5: 0.256, 7.3: 0.256, 7.5: 0.256 * 0.97, 9.9: 0.256 * 0.97**2}
NASNET = {2.3: 1.5, 2.5: 1.5 * 0.97, 4.9: 1.5 * 0.97**2}
HE = {0.0: 0.1, 81: 0.1, 82: 0.01, 122: 0.01, 123: 1e-3}  # 32,000 updates are 81.8 epochs
SIMPLENET = {99: 0.1, 101: 0.01, 191: 1e-3, 307: 1e-4, 391: 1e-5, 441: 1e-6, 539: 1e-6}

# Of each recipe: images a step (to two percent where there are views of them), epochs or updates,
# decay, and rates at epochs.
RUNS = {
    "resnet50.goyal256_in1k": (256, 90, 1e-4, GOYAL),
    "resnet50.goyal8192_in1k": (
        8192,
        90,
        1e-4,
        {0: 0.1, 2.5: 1.65, 5.1: 3.2, 29.9: 3.2, 30.4: 0.32},
    ),
    "resnet50.a1_in1k": (2048, 600, 0.01, {0: 0, 5: 5e-3, 302.5: 2.5e-3, 600: 0}),
    "resnet50.a2_in1k": (2048, 300, 0.02, {0: 0, 5: 5e-3, 152.5: 2.5e-3, 300: 0}),
    "resnet50.a3_in1k": (2048, 100, 0.02, {0: 0, 5: 8e-3, 52.5: 4e-3, 100: 0}),
    "resnetrs50.in1k": (4096, 350, 4e-5, RS),
    "resnetrs101.in1k": (4096, 350, 4e-5, RS),
    "resnetrs152.in1k": (4096, 350, 4e-5, RS),
    "resnetrs200.in1k": (4096, 350, 4e-5, RS),
    "resnet20.cifar10": (128, 64_000, 1e-4, HE),
    "resnet32.cifar10": (128, 64_000, 1e-4, HE),
    "resnet44.cifar10": (128, 64_000, 1e-4, HE),
    "resnet56.cifar10": (128, 64_000, 1e-4, HE),
    "resnet110.cifar10": (128, 64_000, 1e-4, {0: 0.01, 1: 0.01, 1.1: 0.1, 81: 0.1, 123: 1e-3}),
    "resnetv2_50x1_bit.pets": (512, 500, 0.0, {0: 0, 14: 3e-3, 62.5: 3e-6}),
    "resnetv2_50x1_bit.cifar10": (512, 10_000, 0.0, {0: 0, 20: 3e-3, 32: 3e-4, 101: 3e-6}),
    "resnetv2_50x1_bit.in1k": (512, 20_000, 0.0, {0: 0, 2: 3e-3, 3: 3e-4, 5: 3e-5, 7.9: 3e-6}),
    "inception_v3.in1k": (1600, 100, 4e-5, RMSPROP),
    "inception_v4.in1k": (640, 160, 4e-5, RMSPROP),
    "inception_resnet_v2.in1k": (640, 160, 4e-5, RMSPROP),
    "nasneta_6_768.cifar10": (32, 600, 5e-4, {0: 0.025, 300: 0.0125, 600: 0}),
    "nasneta_7_2304.cifar10": (32, 600, 5e-4, {0: 0.025, 300: 0.0125, 600: 0}),
    "nasnetamobile.in1k": (1600, 250_000, 4e-5, {2.3: 2.0, 2.5: 2.0 * 0.97}),
    "nasnetalarge.in1k": (1600, 250_000, 5e-5, NASNET),
    "tnt_s_patch16_224.in1k": (1024, 300, 0.05, DEIT),
    "tnt_b_patch16_224.in1k": (1024, 300, 0.05, DEIT),
    "sret_t.in1k": (1024, 300, 0.05, DEIT),
    "sret_s.in1k": (1024, 300, 0.05, DEIT),
    "sret_t_distill.in1k": (1024, 300, 0.05, DEIT),
    **{f"tf_efficientnet_b{n}.in1k": (4096, 350, 1e-5, B0) for n in range(8)},
    "simplenet_cifar_5m.cifar10": (64, 540, 1e-3, SIMPLENET),
}

SMOOTHED = {"inception", "nasnetal", "nasnetam", "tnt_s", "tnt_b", "sret_t.", "sret_s"}
SMOOTHED |= {"resnetrs", "tf_efficientnet"}
# By the beginnings of names: fields of the network, side of the images, methods, views, average.
NETWORKS = {
    "resnet50.goyal": ({}, None, (), 1, None),
    "resnet50.a1": ({"drop_path": 0.05}, 224, ("binary", "mixup_or_cutmix"), 3, None),
    "resnet50.a2": ({"drop_path": 0.05}, 224, ("binary", "mixup_or_cutmix"), 3, None),
    "resnet50.a3": ({}, 160, ("binary", "mixup_or_cutmix"), 1, None),
    "resnetrs50": ({"drop_rate": 0.25, "drop_path": 0.0}, 160, (), 1, 0.9999),
    "resnetrs101": ({"drop_rate": 0.25, "drop_path": 0.0}, 192, (), 1, 0.9999),
    "resnetrs152": ({"drop_rate": 0.25, "drop_path": 0.0}, 256, (), 1, 0.9999),
    "resnetrs200": ({"drop_rate": 0.25, "drop_path": 0.1}, 256, (), 1, 0.9999),
    "resnetv2_50x1_bit.pets": ({}, 480, (), 1, None),
    "resnetv2_50x1_bit.cifar10": ({}, 128, ("mixup",), 1, None),
    "resnetv2_50x1_bit.in1k": ({}, 480, ("mixup",), 1, None),
    "inception_v3": ({"drop_rate": 0.2, "aux_heads": True}, 299, ("auxiliary",), 1, 0.9999),
    "inception_v4": ({"drop_rate": 0.2}, 299, (), 1, 0.9999),
    "inception_resnet_v2": ({"drop_rate": 0.2}, 299, (), 1, 0.9999),
    "nasneta_": ({"drop_path": 0.4}, None, ("auxiliary", "scheduled_drop_path"), 1, None),
    "nasnetamobile": ({"drop_rate": 0.5, "drop_path": 0.0}, 224, ("auxiliary",), 1, 0.9999),
    "nasnetalarge": (
        {"drop_rate": 0.5, "drop_path": 0.3},
        331,
        ("auxiliary", "scheduled_drop_path"),
        1,
        0.9999,
    ),
    "tnt": ({"drop_path": 0.1}, 224, ("mixup_or_cutmix", "random_erasing"), 3, 0.99996),
    "sret_t.": ({"drop_path": 0.1}, 224, ("mixup_or_cutmix", "random_erasing"), 3, None),
    "sret_s": ({"drop_path": 0.1}, 224, ("mixup_or_cutmix", "random_erasing"), 3, None),
    "sret_t_distill": ({"drop_path": 0.1}, 224, ("distillation", "random_erasing"), 3, None),
    **{
        f"tf_efficientnet_{name}": ({"drop_rate": dropout, "drop_path": 0.2}, size, (), 1, 0.9999)
        for name, size, dropout in (
            *(("b0", 224, 0.2), ("b1", 240, 0.2), ("b2", 260, 0.3), ("b3", 300, 0.3)),
            *(("b4", 380, 0.4), ("b5", 456, 0.4), ("b6", 528, 0.5), ("b7", 600, 0.5)),
        )
    },
    "simplenet": ({}, None, (), 1, None),
    **{f"resnet{n}.cifar10": ({}, None, (), 1, None) for n in (20, 32, 44, 56, 110)},
}
# Top-1 of the papers in percent; errors there are one hundred minus these.
TOP1 = {
    "resnet50.goyal256_in1k": 100 - 23.60,
    "resnet50.goyal8192_in1k": 100 - 23.74,
    "resnet50.a1_in1k": 80.4,
    "resnet50.a2_in1k": 79.8,
    "resnet50.a3_in1k": 78.1,
    "resnetrs50.in1k": 78.8,
    "resnetrs101.in1k": 81.2,
    "resnetrs152.in1k": 83.0,
    "resnetrs200.in1k": 83.4,
    **{
        f"resnet{n}.cifar10": 100 - error
        for n, error in ((20, 8.75), (32, 7.51), (44, 7.17), (56, 6.97), (110, 6.43))
    },
    "resnetv2_50x1_bit.in1k": 80.39,
    "inception_v3.in1k": 100 - 21.2,
    "inception_v4.in1k": 100 - 20.0,
    "inception_resnet_v2.in1k": 100 - 19.9,
    "nasneta_6_768.cifar10": 100 - 2.65,
    "nasneta_7_2304.cifar10": 100 - 2.40,
    "nasnetamobile.in1k": 74.0,
    "nasnetalarge.in1k": 82.7,
    "tnt_s_patch16_224.in1k": 81.5,
    "tnt_b_patch16_224.in1k": 82.9,
    "sret_t.in1k": 76.0,
    "sret_s.in1k": 81.9,
    "sret_t_distill.in1k": 77.6,
    **{
        f"tf_efficientnet_b{n}.in1k": top1
        for n, top1 in enumerate((77.1, 79.1, 80.1, 81.6, 82.9, 83.6, 84.0, 84.3))
    },
    "simplenet_cifar_5m.cifar10": 95.51,
}


def updates_of(config):
    examples = EXAMPLES[config.dataset]
    return total_steps(config, examples), -(-examples // config.batch_size)


@pytest.mark.parametrize("name", RUNS)
def test_lengths_and_rates(name):
    batch_size, length, _, rates = RUNS[name]
    config = DESCRIBED[name].config
    steps, epoch = updates_of(config)
    in_updates = length > 450 and length not in (540, 600)
    views = augmentation_of(config.augment).views
    assert config.batch_size == pytest.approx(batch_size, rel=0.02 if views > 1 else 0)
    assert config.batch_size % (16 * views if views > 1 else 1) == 0
    batch_size = config.batch_size
    expected = length if in_updates else length * EXAMPLES[config.dataset] / batch_size
    assert steps == math.ceil(expected)
    schedule = train.make_schedule(config.optimization, steps, epoch=epoch)
    for at, rate in rates.items():
        step = min(round(at * EXAMPLES[config.dataset] / batch_size), steps)
        assert float(schedule(step)) == pytest.approx(rate, rel=0.02, abs=2e-6), at


@pytest.mark.parametrize("name", RUNS)
def test_decay_reaches_kernels_and_nothing_else(name):
    """What the first update does to parameters that have no gradient."""
    config, decay = DESCRIBED[name].config, RUNS[name][2]
    wanted = dataclasses.replace(config.optimization, schedule="constant", warmup=0.0)
    optimizer = make_optimizer(dataclasses.replace(wanted, learning_rate=0.5), 10)
    params = {"conv": {"kernel": jnp.full((2, 2), 2.0)}, "norm": {"scale": jnp.full(2, 2.0)}}
    params["head"] = {"bias": jnp.ones(2), "kernel": jnp.full((2, 2), 2.0)}
    zeros = {n: {k: 0 * v for k, v in leaves.items()} for n, leaves in params.items()}
    update, _ = optimizer.update(zeros, optimizer.init(params), params)
    assert not np.asarray(update["norm"]["scale"]).any()
    assert not np.asarray(update["head"]["bias"]).any()
    assert np.asarray(update["conv"]["kernel"] < 0).all() == (decay > 0)
    rule = config.optimization.optimizer.partition(":")[0]
    if rule in ("sgd", "adamw"):
        np.testing.assert_allclose(update["conv"]["kernel"], -0.5 * decay * 2.0, rtol=1e-5)
    assert config.optimization.weight_decay == decay
    assert decayed(params)["head"] == {"bias": False, "kernel": True}


@pytest.mark.parametrize("name", RUNS)
def test_networks_methods_views_and_averages(name):
    begins = max((start for start in NETWORKS if name.startswith(start)), key=len)
    fields, size, methods, views, average = NETWORKS[begins]
    config = DESCRIBED[name].config
    assert tuple(call.name for call in config.objective) == methods
    assert augmentation_of(config.augment).views == views
    assert (config.image_size, config.ema) == (size, average)
    if config.model is not None:
        model = zoo.create_model(config.model, **config.overrides)
        assert {field: getattr(model, field) for field in fields} == fields
    smoothed = any(name.startswith(start) for start in SMOOTHED) and "distill" not in name
    smoothing = 0.1 if smoothed else 0.0
    assert config.optimization.label_smoothing == smoothing


def test_published_accuracies():
    found = {name: recipe.top1 for name, recipe in DESCRIBED.items() if recipe.top1 is not None}
    assert {name: round(100 * top1, 2) for name, top1 in found.items()} == {
        name: round(top1, 2) for name, top1 in TOP1.items()
    }
    for name in RUNS:
        recipe = DESCRIBED[name]
        assert recipe.source
        assert recipe.hardware
        assert (recipe.top1 is None) == (recipe.measured == ""), name


@pytest.mark.parametrize(
    ("name", "size", "crop", "middle"),
    [
        ("resnet50.a1_in1k", 224, 0.95, 0.45),
        ("resnet50.a3_in1k", 160, 0.95, 0.45),
        ("resnetrs50.in1k", 160, 160 / 192, 0.45),
        ("inception_v3.in1k", 299, 0.875, 0.5),
        ("inception_resnet_v2.in1k", 299, 0.8975, 0.5),
        ("nasnetalarge.in1k", 331, 0.875, 0.5),
        ("tnt_s_patch16_224.in1k", 224, 0.9, 0.5),
        ("sret_t.in1k", 224, 0.875, 0.45),
        ("tf_efficientnet_b0.in1k", 224, 0.875, 0.45),
        ("tf_efficientnet_b7.in1k", 600, 600 / 632, 0.45),
    ],
)
def test_evaluation(name, size, crop, middle):
    config = DESCRIBED[name].config
    found = Preprocess.from_dict({"image_size": config.image_size, **config.preprocess})
    assert (found.image_size, found.crop_pct) == (size, pytest.approx(crop))
    assert np.mean(found.mean) == pytest.approx(middle, abs=0.005)


def test_a3_is_measured_at_more_pixels_than_it_learns_from():
    evaluation = DESCRIBED["resnet50.a3_in1k"].config.evaluations["224px"]
    assert evaluation.preprocess == {"image_size": 224}


def test_the_hyper_rule_goes_by_examples_and_pixels():
    assert [hyper_rule(n, 224).steps for n in (19_999, 20_000, 499_999, 500_000)] == [
        *(500, 10_000, 10_000, 20_000)
    ]
    assert [hyper_rule(1, side).image_size for side in (95, 96)] == [128, 480]
    assert [bool(hyper_rule(n, 224).objective) for n in (19_999, 20_000)] == [False, True]


def draws(name, count, size=(500, 400)):
    """Operations of a recipe on a picture of its size, and regions of its crop."""
    augment, rng = augmentation_of(DESCRIBED[name].config.augment), np.random.default_rng(0)
    crops = [augment.crop(rng, size) for _ in range(count)] if augment.crop else []
    side = DESCRIBED[name].config.image_size or 32
    operations = [[op.draw(rng, (side, side)) for _ in range(count)] for op in augment.operations]
    return crops, operations


def test_crops_and_mirrors_are_those_of_the_papers():
    shares = {"resnet50.goyal256_in1k": 0.08, "inception_v3.in1k": 0.05}
    for name, least in shares.items():
        crops, (mirrored, *_) = draws(name, 2000)
        areas = [(right - left) * (low - top) / 200_000 for left, top, right, low in crops]
        assert least - 0.01 < min(areas) < least + 0.03
        assert 0.45 < np.mean(mirrored) < 0.55
    crops, _ = draws("resnetv2_50x1_bit.pets", 50, size=(512, 512))
    assert {(right - left, low - top) for left, top, right, low in crops} == {(480, 480)}


def test_small_images_move_by_four_pixels_and_lose_sixteen():
    _, (shifts, _, hidden) = draws("nasneta_6_768.cifar10", 2000)
    assert {shift[0] for shift in shifts} == {shift[1] for shift in shifts} == {*range(-4, 5)}
    assert {erased.height for erased in hidden} == {*range(8, 17)}


@pytest.mark.parametrize(
    ("name", "magnitude"), [("resnet50.a2_in1k", 7), ("resnet50.a3_in1k", 6), ("sret_t.in1k", 9)]
)
def test_policies_change_pictures_as_strongly_as_the_papers(name, magnitude):
    _, (_, changes) = draws(name, 3000)
    counts = [len(change) for change in changes]
    assert np.mean(counts) == pytest.approx(1.0, abs=0.05)  # two, each by half
    turns = [abs(value) for change in changes for what, value in change if what == "rotate"]
    assert np.mean(turns) == pytest.approx(3 * magnitude, abs=0.5)
    assert 10 / 30 * np.std(turns) == pytest.approx(0.5, abs=0.1)
