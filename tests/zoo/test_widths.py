"""Layers of other sizes: an ordinary network, wherever and however it is called."""

import pickle

import jax
import jax.numpy as jnp
import pytest

import zoo
from zoo.cost import count_macs
from zoo.errors import UsageError
from zoo.parameters.interception import changed
from zoo.parameters.widths import widths

SIZES = {"stage1_block0/conv1": {"features": 10}, "stage2_block0/conv1": {"rank": 5}}
IMAGES = jnp.linspace(-1, 1, 2 * 8 * 8).reshape(2, 8, 8, 1)


@pytest.fixture(scope="module")
def plain():
    return zoo.create_model("resnet8", num_classes=10)


@pytest.fixture(scope="module")
def narrow(plain):
    return changed(plain, SIZES | {"head": {"rank": 3}})


def test_leaves_have_the_sizes_of_the_card(narrow):
    params = jax.eval_shape(lambda: narrow.init(jax.random.key(0), IMAGES, train=False))["params"]
    shapes = lambda layer: jax.tree.map(jnp.shape, layer)  # noqa: E731
    assert shapes(params["stage1_block0"]["conv1"]) == {"kernel": (3, 3, 16, 10)}
    assert shapes(params["stage1_block0"]["conv2"]) == {"kernel": (3, 3, 10, 16)}
    assert shapes(params["stage1_block0"]["norm1"]) == {"bias": (10,), "scale": (10,)}
    assert shapes(params["head"]["up"]) == {"bias": (10,), "kernel": (3, 10)}
    assert shapes(params["stage2_block0"]["conv1"]) == {
        "down": {"kernel": (3, 3, 16, 5)},
        "up": {"kernel": (1, 1, 5, 32)},
    }
    drawn = zoo.init_variables(narrow, jax.random.key(0), IMAGES)
    assert jax.tree.map(jnp.shape, drawn["params"]) == shapes(params)


def test_it_costs_less(plain, narrow):
    assert count_macs(narrow, (8, 8, 1)) < count_macs(plain, (8, 8, 1))


def test_it_is_a_network_like_any_other(plain, narrow):
    assert pickle.loads(pickle.dumps(narrow)) == narrow
    assert hash(narrow) != hash(plain)
    assert type(narrow) is type(plain)
    headless = narrow.clone(num_classes=None)
    variables = zoo.init_variables(headless, jax.random.key(0), IMAGES)
    pooled = headless.apply(variables, IMAGES, train=False)
    features = headless.apply(variables, IMAGES, train=False, method="features")
    assert jnp.array_equal(pooled, features["pooled"])


def test_two_thin_maps_are_their_product(plain):
    factored = changed(plain, {"stage1_block0/conv1": {"rank": 4}, "head": {"rank": 2}})
    variables = zoo.init_variables(factored, jax.random.key(0), IMAGES)
    params = variables["params"]
    block, head = params["stage1_block0"], params["head"]
    product = block["conv1"]["down"]["kernel"] @ block["conv1"]["up"]["kernel"][0, 0]
    whole = {
        **params,
        "stage1_block0": {**block, "conv1": {"kernel": product}},
        "head": {
            "kernel": head["down"]["kernel"] @ head["up"]["kernel"],
            "bias": head["up"]["bias"],
        },
    }
    found = factored.apply(variables, IMAGES, train=False)
    expected = plain.apply({**variables, "params": whole}, IMAGES, train=False)
    assert jnp.abs(found - expected).max() <= 1e-5 * jnp.abs(expected).max()


@pytest.mark.parametrize(
    "sizes",
    [{"a": {}}, {"a": {"features": 0}}, {"a": {"depth": 3}}, {"a": {"rank": True}}, {"a": 5}],
)
def test_what_is_no_size_is_one_sentence(sizes):
    with pytest.raises(UsageError, match="`widths` of 'a' must be numbers"):
        widths(sizes)


def test_unknown_interceptors_are_one_sentence(plain):
    with pytest.raises(UsageError, match="must name one of bitnet"):
        changed(plain, {}, [{"name": "bitnets"}])
    with pytest.raises(UsageError, match="cannot take"):
        changed(plain, {}, [{"name": "bitnet", "arguments": {"bits": 3}}])
    with pytest.raises(UsageError, match="`kernels` must be one of median, mean, max"):
        changed(plain, {}, [{"name": "bitnet", "arguments": {"kernels": "mode"}}])
