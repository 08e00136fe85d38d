"""Inception's tensors: there and back, in the order of the source."""

import functools
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import checkpoints
import zoo
from tests.golden import fill
from tests.golden.constructors import parse_constructor

CASES = Path(__file__).parents[1] / "golden" / "cases"
FILES = [  # one of each table: the rest would take as long and show nothing new
    CASES / f"{name}.json"
    for name in (
        "inception_v3_aux_299",
        "inception_v4_139_c1000",
        "inception_resnet_v2_139",
        "googlenet_tv_aux_96",
    )
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_export_inverts_import(path):
    case = json.loads(path.read_text())
    source, name, overrides = parse_constructor(case)
    tensors = fill.fill_state_dict(case)
    model = zoo.create_model(name, **overrides)
    exported = checkpoints.export_weights(
        model, checkpoints.import_weights(model, tensors, source), source
    )
    assert list(exported) == list(tensors)
    for key, tensor in tensors.items():
        assert exported[key].dtype == tensor.dtype
        np.testing.assert_array_equal(exported[key], tensor)


@pytest.mark.parametrize("path", [FILES[0], FILES[3]], ids=lambda path: path.stem)
def test_a_network_without_auxiliary_heads_leaves_those_of_a_file_out(path):
    case = json.loads(path.read_text())
    source, name, overrides = parse_constructor(case)
    assert overrides.pop("aux_heads")
    tensors = fill.fill_state_dict(case)
    plain = zoo.create_model(name, **overrides)
    exported = checkpoints.export_weights(
        plain, checkpoints.import_weights(plain, tensors, source), source
    )
    kept = [n for n in tensors if not n.startswith(("AuxLogits.", "aux1.", "aux2."))]
    assert list(exported) == kept
    assert len(kept) < len(tensors)
    for key in kept:
        np.testing.assert_array_equal(exported[key], tensors[key])
    without = {n: tensors[n] for n in kept}
    with pytest.raises(zoo.UsageError, match=r"- (AuxLogits|aux1)\..*\(missing\)"):
        checkpoints.import_weights(
            zoo.create_model(name, aux_heads=True, **overrides), without, source
        )
    stray = {"AuxLogits2.conv0.conv.weight": np.zeros(1)}
    with pytest.raises(zoo.UsageError, match=r"\+ AuxLogits2\.conv0\.conv\.weight"):
        checkpoints.import_weights(plain, tensors | stray, source)


@functools.cache
def keras_tensors(name):
    """A model, variables whose leaves differ, and the same under Keras's names."""
    model = zoo.create_model(name, num_classes=2)
    images = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    leaves, tree = jax.tree.flatten(shapes)
    arrays = [np.full(leaf.shape, i, np.float32) for i, leaf in enumerate(leaves)]
    variables = jax.tree.unflatten(tree, arrays)
    return model, variables, checkpoints.export_weights(model, variables, "keras")


@pytest.mark.parametrize(
    ("name", "numbered"), [("inception_v3_keras", 94), ("inception_resnet_v2_keras", 203)]
)
def test_keras_numbers_every_unnamed_layer_once(name, numbered):
    model, variables, tensors = keras_tensors(name)
    kernels = {f"conv2d_{i}/kernel" if i else "conv2d/kernel" for i in range(numbered)}
    assert {n for n in tensors if n.startswith("conv2d")} == kernels
    assert not [n for n in tensors if n.endswith("gamma")]
    imported = checkpoints.import_weights(model, tensors, "keras")
    flat = traverse_util.flatten_dict(imported)
    for path, leaf in traverse_util.flatten_dict(variables).items():
        np.testing.assert_array_equal(flat[path], leaf)


def test_keras_lists_layers_by_their_distance_from_the_output():
    _, _, tensors = keras_tensors("inception_v3_keras")
    layers = list(dict.fromkeys(name.split("/")[0] for name in tensors))
    first = layers.index("conv2d_8")  # the first module: its longest branch comes first
    short = [n.replace("batch_normalization", "bn") for n in layers[first : first + 14]]
    assert short == [
        *("conv2d_8", "bn_8", "conv2d_6", "conv2d_9", "bn_6", "bn_9"),
        *("conv2d_5", "conv2d_7", "conv2d_10", "conv2d_11", "bn_5", "bn_7", "bn_10", "bn_11"),
    ]
    assert list(tensors)[-2:] == ["predictions/kernel", "predictions/bias"]


def test_keras_may_begin_to_number_anywhere():
    model, _, tensors = keras_tensors("inception_v3_keras")
    shifted = {}
    for name, tensor in tensors.items():
        layer, leaf = name.split("/")
        prefix, _, number = layer.rpartition("_")
        if layer in ("conv2d", "batch_normalization"):
            layer = f"{layer}_94"
        elif prefix in ("conv2d", "batch_normalization"):
            layer = f"{prefix}_{94 + int(number)}"
        shifted[f"{layer}/{leaf}"] = tensor
    assert "conv2d_187/kernel" in shifted
    imported = checkpoints.import_weights(model, shifted, "keras")
    exported = checkpoints.export_weights(model, imported, "keras")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(exported[name], tensor)


def test_keras_projections_are_named():
    _, _, tensors = keras_tensors("inception_resnet_v2_keras")
    assert tensors["block35_1_conv/kernel"].shape == (1, 1, 128, 320)
    assert tensors["block8_10_conv/bias"].shape == (2080,)
    assert tensors["conv_7b_bn/beta"].shape == (1536,)


def test_a_network_without_names_in_a_library_says_so():
    model = zoo.create_model("inception_v4", num_classes=2)
    with pytest.raises(zoo.UsageError, match="'keras' has no names for this network; known: timm"):
        checkpoints.import_weights(model, {}, "keras")
