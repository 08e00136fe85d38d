"""Layers of a network are numbered as it runs: stem first, head last."""

import doctest

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

import zoo
from tests.zoo import tiny
from zoo.catalogue import CATALOGUE
from zoo.parameters import depth, depths

FAMILIES = ("resnet50d", "resnetv2_50", "efficientnet_b0", "inception_v3", "nasnetamobile")
FAMILIES += ("tnt_ti_patch16_224", "sret_t", "simplenetv1_small_m1_05")
FAMILIES += ("deepmad_r18", "deepmad_29m_224")
NANO = ("lssl_nano", "lnlstm_nano", "hopfield_mil_nano", "hopfield_encoder_nano")


def found(model, shape):
    """Depths by path, and the parameters."""
    inputs = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(0), inputs, below="none")
    return flatten_dict(depths(model, inputs), sep="/"), flatten_dict(variables["params"], sep="/")


@pytest.mark.parametrize("name", [*FAMILIES, *NANO])
def test_stem_is_first_head_is_last_and_no_number_is_missing(name):
    build, shape = tiny.tiny(name) if name in FAMILIES else (None, CATALOGUE[name].input_shape)
    model = build() if build else zoo.create_model(name)
    numbers, params = found(model, shape)
    last = max(numbers.values())
    assert numbers.keys() == params.keys()
    assert {path for path, n in numbers.items() if n == last} == {"head/bias", "head/kernel"}
    assert sorted(set(numbers.values())) == list(range(last + 1))
    assert all(n == 0 for path, n in numbers.items() if "/" not in path or path.startswith("stem/"))


def test_blocks_are_numbered_as_they_run_and_norms_with_the_layer_before_them():
    model = zoo.resnetv2.resnetv2_50(stage_sizes=(1, 2), width=8, num_classes=3)
    numbers, _ = found(model, (32, 32, 3))
    layers = {path.partition("/")[0]: number for path, number in numbers.items()}
    stages = {"stage1_block0": 1, "stage2_block0": 2, "stage2_block1": 3}
    assert layers == {"stem": 0, **stages, "final_norm": 3, "head": 4}


def test_networks_of_others_are_numbered_and_backbones_are_opened():
    class Decoder(nn.Module):
        backbone: nn.Module

        @nn.compact
        def __call__(self, x, *, train):
            x = nn.LayerNorm(name="zero_mean")(x)
            pooled = self.backbone(x, train=train)
            return nn.Dense(2, name="last")(nn.Dense(4, name="afore")(pooled))

    backbone = zoo.resnet.resnet18(stage_sizes=(1, 1), width=8, num_classes=None)
    numbers, _ = found(Decoder(backbone), (16, 16, 3))
    layers = {"/".join(path.split("/")[:2]): number for path, number in numbers.items()}
    assert layers["zero_mean/scale"] == layers["backbone/stem"] == 0
    assert [layers[f"backbone/stage{k}_block0"] for k in (1, 2)] == [1, 2]
    assert (layers["afore/kernel"], layers["last/kernel"]) == (3, 4)


def test_the_example_runs():
    names = {"zoo": zoo, "jnp": jnp, "depths": depths}
    test = doctest.DocTestFinder(recurse=False).find(depth.depths, globs=names)[0]
    assert not doctest.DocTestRunner().run(test).failed
