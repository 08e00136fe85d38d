"""What must be true of every row of the catalogue."""

import functools
import re
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import traverse_util

import zoo
from zoo.catalogue import CATALOGUE
from zoo.cost import count_macs
from zoo.layers.group_norm import GroupNorm
from zoo.layers.standardized_conv import StandardizedConv

LARGEST_FIRST = sorted(CATALOGUE, key=lambda name: -CATALOGUE[name].parameters)
ONE_OF_EACH_FAMILY = {zoo.model_info(name).family: name for name in LARGEST_FIRST}
FAST_AND_SLOW = [
    name if name in ONE_OF_EACH_FAMILY.values() else pytest.param(name, marks=pytest.mark.slow)
    for name in CATALOGUE
]


@pytest.fixture(scope="module", params=FAST_AND_SLOW)
def name(request):
    """A row: its tests follow each other, so that it is traced once."""
    return request.param


@functools.cache
def abstract_variables(name, **overrides):
    info = zoo.model_info(name)
    images = jax.ShapeDtypeStruct((1, *info.input_shape), jnp.float32)
    model = zoo.create_model(name, **overrides)
    return jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)


def test_parameter_count_is_exact(name):
    params = abstract_variables(name)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == CATALOGUE[name].parameters


def published_macs(name):
    """Multiply-adds as published: with norms that cannot be folded into a convolution."""
    info, macs = zoo.model_info(name), []

    def count(call, args, kwargs, context):
        if isinstance(context.module, GroupNorm):
            macs.append(5 * args[0].size)
        if isinstance(context.module, StandardizedConv) and context.method_name == "effective":
            macs.append(4 * args[0].size)
        return call(*args, **kwargs)

    variables = abstract_variables(name)  # traced outside, lest its norms count too
    with nn.intercept_methods(count):
        return count_macs(zoo.create_model(name), info.input_shape, variables=variables) + sum(macs)


def test_gmacs_agree_with_the_published_figure(name):
    info, counted = zoo.model_info(name), published_macs(name) / 1e9
    half_a_unit = 0.5 / 10 ** len(str(info.gmacs).partition(".")[2])
    assert counted == pytest.approx(info.gmacs, rel=0.01, abs=half_a_unit)


def test_every_module_with_parameters_is_named(name):
    paths = traverse_util.flatten_dict(abstract_variables(name), sep="/")
    unnamed = [path for path in paths if re.search(r"[A-Z]\w*_\d+(/|$)", path)]
    assert not unnamed, "names are the checkpoint format: give each submodule a `name=`"


def test_parameters_and_statistics_are_float32(name):
    assert {leaf.dtype for leaf in jax.tree.leaves(abstract_variables(name))} == {
        jnp.dtype("float32")
    }


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY.values(), ids=list(ONE_OF_EACH_FAMILY))
def test_without_classes_there_is_no_head(name):
    assert "head" in abstract_variables(name)["params"]
    assert "head" not in abstract_variables(name, num_classes=None)["params"]


def test_list_models_takes_wildcards_and_families():
    assert zoo.list_models("resnet1?") == ["resnet18"]
    assert zoo.list_models("resnet18*") == ["resnet18", "resnet18d"]
    assert "wide_resnet50_2" in zoo.list_models(family="resnet")
    assert zoo.list_models("nothing*") == []


def test_create_model_is_the_constructor():
    assert isinstance(zoo.create_model("resnet50"), nn.Module)
    assert zoo.create_model("resnet18", num_classes=37) == zoo.resnet.resnet18(num_classes=37)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zoo.create_model("resnet5O"), "no architecture 'resnet5O'.*'resnet50'"),
        (lambda: zoo.create_model("resnet50.a1_in1k"), r"checkpoints\.load\('resnet50\.a1_in1k'\)"),
        (lambda: zoo.create_model("resnet50", classes=3), "no field 'classes'.*num_classes"),
        (lambda: zoo.list_models(family="resnets"), "no family 'resnets'; there are .*resnet"),
    ],
)
def test_errors_name_the_next_step(call, words):
    with pytest.raises(zoo.UsageError, match=words):
        call()
