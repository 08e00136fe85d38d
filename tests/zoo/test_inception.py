"""What is particular to Inception: sizes, auxiliary heads, pools, scales, dropout."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.layers.pool import adaptive_avg_pool, avg_pool, max_pool

SMALLEST = {
    "googlenet": 15,
    "inception_v3": 75,
    "inception_v4": 75,
    "inception_resnet_v1": 75,
    "inception_resnet_v2": 75,
}


def logits_shape(model, height, width, method=None):
    """Shapes of the outputs, from one trace."""
    images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32)
    init = partial(model.init_with_output, train=False, method=method)
    outputs, _ = jax.eval_shape(init, jax.random.key(0), images)
    return jax.tree.map(lambda output: output.shape, outputs)


@pytest.mark.parametrize("name", SMALLEST)
def test_smallest_image_and_one_pixel_less(name):
    model, side = zoo.create_model(name, num_classes=7), SMALLEST[name]
    assert logits_shape(model, side, side + 22) == (2, 7)
    with pytest.raises(zoo.UsageError, match=f"at least {side}x{side} .* got {side}x{side - 1}"):
        logits_shape(model, side, side - 1)


@pytest.mark.parametrize(
    ("name", "side", "heads"), [("googlenet", 15, 2), ("inception_v3", 299, 1)]
)
def test_auxiliary_heads(name, side, heads):
    model = zoo.create_model(name, aux_heads=True, num_classes=7)
    assert logits_shape(model, side, side, "with_auxiliary") == ((2, 7),) * (1 + heads)
    with pytest.raises(zoo.UsageError, match=f"at least {side}x{side}"):
        logits_shape(model, side - 1, side, "with_auxiliary")


def test_the_main_head_of_a_network_with_auxiliary_ones_takes_smaller_images():
    model = zoo.create_model("inception_v3", aux_heads=True, num_classes=7)
    assert logits_shape(model, 75, 75) == (2, 7)


def test_no_auxiliary_logits_without_heads():
    with pytest.raises(zoo.UsageError, match="aux_heads=True"):
        logits_shape(zoo.create_model("googlenet"), 32, 32, "with_auxiliary")
    with pytest.raises(zoo.UsageError, match="knows none"):
        logits_shape(zoo.create_model("inception_v4", aux_heads=True), 75, 75)


def test_parameters_of_auxiliary_heads():
    count = {}
    for name in ("googlenet", "inception_v3"):
        model = zoo.create_model(name, aux_heads=True)
        images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
        tree = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
        count[name] = sum(leaf.size for leaf in jax.tree.leaves(tree["params"]))
    assert count == {"googlenet": 13_004_888, "inception_v3": 27_161_264}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("inception_v3", {"count_padding": False}),
        ("inception_resnet_v1", {"residual_scales": (0.3, 0.1, 0.2)}),
    ],
)
def test_padding_and_scales_are_fields(name, change, key):
    """Neither has parameters, both change the outcome."""
    stages = [(stage, layers[:2]) for stage, layers in zoo.create_model(name).stages[:2]]
    build = partial(zoo.create_model, name, stages=tuple(stages), num_classes=None)
    images = jax.random.normal(key, (1, 75, 75, 3))
    variables = zoo.init_variables(build(), key, images)
    plain, changed = (
        jax.jit(partial(m.apply, train=False))(variables, images)
        for m in (build(), build(**change))
    )
    assert np.abs(plain - changed).max() > 1e-3 * np.abs(plain).max()


def test_dropout_draws_only_in_training(key):
    stages = zoo.create_model("googlenet").stages[:1]
    model = zoo.create_model("googlenet", stages=stages, drop_rate=0.5, num_classes=3)
    images = jax.random.normal(key, (2, 32, 32, 3))
    variables = zoo.init_variables(model, key, images)
    train = partial(model.apply, variables, images, train=True, mutable=["batch_stats"])
    first, second = (train(rngs={"dropout": jax.random.key(i)})[0] for i in (1, 2))
    assert not np.array_equal(first, second)
    model.apply(variables, images, train=False)  # needs no key


@pytest.mark.parametrize(("side", "largest"), [(2, [1]), (4, [2, 3]), (5, [2, 4]), (6, [2, 4, 5])])
def test_max_pool_rounds_its_size_up(side, largest):
    x = jnp.arange(float(side))[None, :, None, None] * jnp.ones((1, 1, side, 1))
    assert max_pool(x, 3, 2, ceil=True)[0, :, 0, 0].tolist() == largest


def test_average_pool_with_and_without_its_padding():
    ones = jnp.ones((1, 3, 4, 1))
    np.testing.assert_allclose(avg_pool(ones, 3, 1, 1, count_padding=False), 1.0)
    counted = avg_pool(ones, 3, 1, 1)[0, ..., 0]
    np.testing.assert_allclose(counted[0], np.array([4, 6, 6, 4]) / 9, rtol=1e-6)
    np.testing.assert_allclose(counted[1], np.array([6, 9, 9, 6]) / 9, rtol=1e-6)


def test_adaptive_average_pool_covers_every_pixel():
    x = jnp.arange(6.0)[None, :, None, None] * jnp.ones((1, 1, 2, 1))
    pooled = adaptive_avg_pool(x, 4)
    np.testing.assert_allclose(pooled[0, :, 0, 0], [0.5, 1.5, 3.5, 4.5])
    np.testing.assert_allclose(adaptive_avg_pool(x, 1)[0, 0, 0, 0], 2.5)
