"""Files that Keras itself writes, read without it and fitted to our networks."""

import numpy as np
import pytest

import checkpoints
import zoo
from checkpoints import readers

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def assert_same(found, model):
    expected = [np.asarray(w) for w in model.get_weights()]
    assert len(found) == len(expected)
    for array, weight in zip(found.values(), expected, strict=True):
        np.testing.assert_array_equal(array, weight)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")
def test_inception_v3_fits(keras, tmp_path, suffix):
    model = keras.applications.InceptionV3(weights=None, classes=7)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    tensors = readers.read(path)
    assert len(tensors) == len(model.get_weights())
    ours = zoo.create_model("inception_v3_keras", num_classes=7)
    variables = checkpoints.import_weights(ours, tensors, "keras")
    kernel = np.asarray(model.get_layer("predictions").kernel)
    np.testing.assert_array_equal(variables["params"]["head"]["kernel"], kernel)
    first = np.asarray(model.layers[1].kernel)
    np.testing.assert_array_equal(variables["params"]["conv2d_1a"]["conv"]["kernel"], first)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")
def test_every_layer_with_weights(keras, tmp_path, suffix):
    layers = keras.layers
    images = layers.Input((8, 8, 3))
    x = layers.SeparableConv2D(4, 3, use_bias=False, name="separable")(images)
    x = layers.DepthwiseConv2D(3)(layers.BatchNormalization(center=False)(x))
    x = layers.Dense(2, name="head")(layers.Flatten()(layers.Conv2D(2, 1)(x)))
    model = keras.Model(images, x)
    model.save(tmp_path / f"model{suffix}")
    found = readers.read(tmp_path / f"model{suffix}")
    names = ("separable/depthwise_kernel", "separable/pointwise_kernel", "head/kernel", "head/bias")
    assert set(names) <= set(found)
    assert_same(found, model)
