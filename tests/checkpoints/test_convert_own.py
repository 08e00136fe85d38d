"""Our own trees as npz and safetensors: a flattened tree of variables is a file of weights too."""

from functools import partial

import jax
import numpy as np
import pytest
from flax import traverse_util
from safetensors.numpy import save_file

import checkpoints
import zoo


@pytest.fixture(scope="module")
def trained():
    """A network of three classes with numbers of its own."""
    model = zoo.create_model("resnet8", num_classes=3)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
    return model, zoo.init_variables(model, jax.random.key(7), image)


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("write", [lambda p, t: np.savez(p, **t), lambda p, t: save_file(t, p)])
def test_a_flattened_tree_is_read_back(trained, separator, write, tmp_path):
    model, variables = trained
    arrays = traverse_util.flatten_dict(jax.tree.map(np.asarray, variables), sep=separator)
    path = tmp_path / ("x.npz" if separator == "/" else "x.bin")
    write(path, arrays) if path.suffix == ".npz" else save_file(arrays, path)
    loaded = checkpoints.load(path, architecture="resnet8")
    assert loaded.model == model
    assert loaded.card.format == "zoo"
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, dict(variables))


def test_a_tree_is_no_file_of_keras(trained, tmp_path):
    """Though both end names with `/kernel`; the name of the file then says the architecture."""
    arrays = traverse_util.flatten_dict(jax.tree.map(np.asarray, trained[1]), sep="/")
    np.savez(tmp_path / "resnet8.npz", **arrays)
    assert checkpoints.load(tmp_path / "resnet8.npz").card.architecture == "resnet8"


ROWS = ("resnet8", "resnetv2_50x1_bit", "inception_nano", "nasnet_nano", "tnt_nano", "sret_nano")
ROWS += ("lssl_nano", "hopfield_mil", "efficientnet_lite0", "simplenet_nano", "lnlstm_nano")


@pytest.mark.parametrize("name", ROWS)
def test_every_family_has_names_of_our_own(name):
    model, info = zoo.create_model(name), zoo.model_info(name)
    inputs = jax.ShapeDtypeStruct((1, *info.input_shape), np.float32)
    shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), inputs)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), dict(shapes))
    tensors = checkpoints.export_weights(model, zeros, target="zoo")
    assert set(tensors) == set(traverse_util.flatten_dict(zeros, sep="/"))
    found = checkpoints.import_weights(model, tensors, source="zoo")
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, zeros)
