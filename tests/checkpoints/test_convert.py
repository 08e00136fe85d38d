"""Names, order and layout of other libraries' tensors, on their own lists of names."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from tests.golden import fill
from tests.golden.constructors import parse_constructor
from zoo.layers.group_norm import GroupNorm

CASES = Path(__file__).parents[1] / "golden" / "cases"
SMALL = {"stage_sizes": (1, 1), "width": 8, "num_classes": 3}


@pytest.mark.parametrize(
    "name",
    [
        "resnet18_64",
        "resnet50d_64",
        "resnetv2_50_64",
        "timm_efficientnet_b0_65x97",
        "simplenet_cifar_310k_32x32",
    ],
)
def test_what_was_imported_is_exported_bit_for_bit_in_the_sources_order(name):
    case = json.loads((CASES / f"{name}.json").read_text())
    source, architecture, overrides = parse_constructor(case)
    model = zoo.create_model(architecture, **overrides)
    tensors = fill.fill_state_dict(case)
    exported = checkpoints.export_weights(
        model, checkpoints.import_weights(model, tensors, source), source
    )
    assert list(exported) == list(tensors)
    for key, tensor in tensors.items():
        assert exported[key].dtype == tensor.dtype
        np.testing.assert_array_equal(exported[key], tensor)


def names_of(architecture, **overrides):
    """Source names of a small form, after a round trip."""
    model = zoo.create_model(architecture, **(SMALL | overrides))
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    abstract = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.random(leaf.shape), abstract)
    tensors = checkpoints.export_weights(model, variables, "timm")
    again = checkpoints.import_weights(model, tensors, "timm")
    jax.tree.map(np.testing.assert_array_equal, variables, again)
    return list(tensors)


def modules(names, prefix):
    return list(dict.fromkeys(n.rpartition(".")[0] for n in names if n.startswith(prefix)))


def test_squeeze_and_excite_stands_between_the_last_norm_and_the_shortcut():
    found = modules(names_of("resnetrs50"), "layer1.0.")
    last = ["bn3", "se.fc1", "se.fc2", "downsample.1", "downsample.2"]
    assert found[-5:] == [f"layer1.0.{name}" for name in last]


def test_efficient_channel_attention_has_one_kernel_of_three_axes():
    assert "layer1.0.se.conv.weight" in names_of("ecaresnet50t")


def test_a_learned_pool_stands_after_the_stem():
    names = names_of("resnetrs50")
    stem = ["conv1.0", "conv1.1", "conv1.3", "conv1.4", "conv1.6"]
    assert modules(names, "conv1") == stem
    found = list(dict.fromkeys(n.rpartition(".")[0] for n in names))
    assert found[5:8] == ["bn1", "maxpool.0", "maxpool.1"]


def test_group_norm_has_no_statistics():
    assert not any(
        "running" in name for name in names_of("resnet50_gn", norm=partial(GroupNorm, groups=4))
    )


def test_a_pre_activation_block_lists_its_shortcut_first():
    names = names_of("resnetv2_18d", stage_sizes=(1, 1, 1, 1))
    found = modules(names, "stages.1.blocks.0.")
    block = ["downsample.conv", "norm1", "conv1", "norm2", "conv2"]
    assert found == [f"stages.1.blocks.0.{name}" for name in block]
    assert modules(names, "stem") == [
        f"stem.{name}" for name in ("conv1", "norm1", "conv2", "norm2", "conv3")
    ]
    assert names[-2:] == ["head.fc.weight", "head.fc.bias"]
