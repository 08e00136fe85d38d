"""Image sizes: the smallest, those that are not square, those that are odd."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

import zoo

# The smallest side of every family, and of what differs from its family.
SMALLEST = {
    "resnet18": 1,
    "resnet50d": 1,
    "resnetrs50": 1,
    "resnet8": 1,
    "resnetv2_50": 1,
    "resnetv2_50x1_bit": 1,
    "googlenet": 15,
    "inception_v3": 75,
    "inception_v4": 75,
    "inception_resnet_v1": 75,
    "inception_resnet_v2_keras": 75,
    "inception_nano": 1,
    "nasnetalarge": 3,
    "nasnetamobile": 32,
    "pnasnet5large": 3,
    "nasnet_nano": 1,
    "efficientnet_b0": 1,
    "tf_efficientnet_lite0": 1,
    "simplenetv1_5m_m1": 25,
    "simplenetv1_5m_m2": 25,
    "simplenet_cifar_310k": 16,
    "simplenet_cifar_5m_extra_pool": 32,
    "simplenet_nano": 4,
    "deepmad_r18": 1,
    "tnt_s_patch16_224": 16,
    "tnt_nano": 4,
    "sret_t": 25,
    "sret_t_wo_slice": 1,
    "sret_nano": 2,
}
FIXED = ("tnt", "sret")  # families whose positions belong to one size


def pyramid(name, height, width):
    """Shapes of all features."""
    family = zoo.model_info(name).family
    fields = {"image_size": (height, width)} if family in FIXED else {}
    fields |= {"cells": (1, 1, 1)} if family == "nasnet" else {}  # the rest repeats them
    model = zoo.create_model(name, **fields)
    images = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    init = partial(model.init_with_output, train=False, method="features")
    return jax.eval_shape(init, jax.random.key(0), images)[0]


FAST = ("resnet8", "resnetv2_50", "googlenet", "inception_v3", "tnt_nano", "sret_t")


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in SMALLEST]
)
def test_the_smallest_size_works_and_one_less_is_a_sentence(name):
    side = SMALLEST[name]
    shapes = pyramid(name, side, side)
    assert all(leaf.size for leaf in jax.tree.leaves(shapes))
    for height, width in (side - 1, side), (side, side - 1):
        with pytest.raises(zoo.UsageError, match=rf"{side}x{side}"):
            pyramid(name, height, width)


@pytest.mark.parametrize("name", ["resnet18", "resnetv2_50d_gn", "googlenet"])
def test_each_side_of_a_map_comes_from_that_side_of_the_image(name):
    odd, even, oblong = (pyramid(name, *size) for size in ((97, 97), (130, 130), (97, 130)))
    for stage in oblong.keys() - {"pooled"}:
        assert oblong[stage].shape[1:3] == (odd[stage].shape[1], even[stage].shape[2])
    assert oblong["pooled"].shape == odd["pooled"].shape


def test_stages_halve_odd_sides_upwards():
    sides = [pyramid("resnet18", 97, 65)[f"stage{s}"].shape[1:3] for s in (1, 2, 3, 4)]
    assert sides == [(25, 17), (13, 9), (7, 5), (4, 3)]


@pytest.mark.parametrize("name", ["tnt_s_patch16_224", "sret_t"])
def test_a_network_with_positions_says_for_which_size_it_is(name):
    model = zoo.create_model(name)
    images = jax.ShapeDtypeStruct((1, 224, 192, 3), jnp.float32)
    with pytest.raises(zoo.UsageError, match=r"224x192.*for 224x224.*image_size=\(224, 192\)"):
        jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
