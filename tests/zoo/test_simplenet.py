"""SimpleNet's own: its strides, its maximum, what its dropout leaves out, how it begins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.simplenet import STRIDES, XAVIER_RELU, Unit

SMALL = {"stages": ((Unit(8), Unit(8)), (Unit(8),)), "num_classes": 3}


def shapes(name, side):
    model, images = zoo.create_model(name), jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    init = lambda x: model.init_with_output(  # noqa: E731
        jax.random.key(0), x, train=False, method="features"
    )[0]
    return {stage: leaf.shape[1:] for stage, leaf in jax.eval_shape(init, images).items()}


@pytest.mark.parametrize("name", ["simplenetv1_5m_m1", "simplenetv1_5m_m2"])
def test_every_way_to_stride_leaves_an_eighth_of_the_sides(name):
    assert shapes(name, 224) == {
        "stage1": (28, 28, 128),
        "stage2": (14, 14, 512),
        "stage3": (7, 7, 256),
        "pooled": (256,),
    }


def test_strides_are_those_of_the_first_stage_only():
    deep = zoo.create_model("simplenet_cifar_310k", strides=STRIDES[3])
    assert deep.smallest() == 4 * 15 + 1


def test_stages_read_from_json_are_the_same_network():
    lists = [[list(unit) for unit in stage] for stage in SMALL["stages"]]
    plain = zoo.simplenet.simplenet_nano(**SMALL).scaled()
    model = zoo.create_model("simplenet_nano", stages=lists, num_classes=3)
    assert model.scaled() == plain
    assert hash(model)


def test_features_are_the_largest_values_of_the_last_stage(key):
    model, images = zoo.create_model("simplenet_nano", **SMALL), jnp.ones((2, 8, 8, 1))
    images = images * jnp.arange(8.0)[None, :, None, None]
    variables = zoo.init_variables(model, key, images)
    pyramid = model.apply(variables, images, train=False, method="features")
    np.testing.assert_array_equal(pyramid["pooled"], pyramid["stage2"].max(axis=(1, 2)))


def test_dropout_leaves_out_whole_channels_where_it_is_asked_to(key):
    rates = (("stage1_pool", 0.5), ("head", 0.0))
    model = zoo.create_model("simplenet_nano", **SMALL, drop_rates=rates)
    images = jax.random.normal(key, (16, 8, 8, 1))
    variables = zoo.init_variables(model, key, images)

    def run(drop):
        _, kept = model.apply(
            variables,
            images,
            train=True,
            mutable=["batch_stats", "intermediates"],
            rngs={"dropout": drop},
            capture_intermediates=lambda module, _: module.name == "stage1_pool_drop",
        )
        (found,) = kept["intermediates"]["stage1_pool_drop"]["__call__"]
        return np.asarray(found)

    first, second = run(key), run(jax.random.key(1))
    left_out = ~first.any(axis=(1, 2))
    assert 0.3 < left_out.mean() < 0.7
    assert (left_out != ~second.any(axis=(1, 2))).any()


def test_kernels_begin_as_xaviers_with_the_gain_of_relu(key):
    kernel = XAVIER_RELU(key, (3, 3, 16, 48))
    bound = np.sqrt(2) * np.sqrt(6 / (9 * 16 + 9 * 48))
    assert 0.99 * bound < np.abs(kernel).max() <= bound


def test_another_name_of_a_layer_is_refused():
    with pytest.raises(zoo.UsageError, match=r"'stage9_pool'.*stage1_block0"):
        zoo.init_variables(
            zoo.create_model("simplenet_nano", **SMALL, drop_rates=(("stage9_pool", 0.5),)),
            jax.random.key(0),
            jnp.ones((1, 8, 8, 1)),
        )
