"""What every network says of itself, and of inputs and options that it is not made for."""

import copy
import doctest
import pickle

import jax
import jax.numpy as jnp
import pytest

import zoo
from zoo.catalogue import CATALOGUE

MAIN = (
    "resnet18",
    "resnetv2_50x1_bit",
    "inception_v3",
    "nasnetamobile",
    "tnt_s_patch16_224",
    "sret_t",
    "efficientnet_b0",
    "simplenet_cifar_310k",
    "hopfield_mil_nano",
    "lssl_nano",
    "lnlstm_nano",
)
WRONG = {
    "uint8": (lambda h, w, c: ((2, h, w, c), jnp.uint8), r"floating-point.*`preprocess`"),
    "channels first": (
        lambda h, w, c: ((2, c, h, w), jnp.float32),
        r"\(batch, height, width, channels\)",
    ),
    "no batch": (lambda h, w, c: ((h, w, c), jnp.float32), r"batch"),
}


# An image without a batch is a batch of sequences.
OF_SEQUENCES = ("lssl_nano", "lnlstm_nano")
KINDS = [(n, w) for n in MAIN for w in WRONG if n not in OF_SEQUENCES or w != "no batch"]


@pytest.mark.parametrize(("name", "wrong"), KINDS)
def test_inputs_of_another_kind_are_told_their_cure(name, wrong):
    model, info = zoo.create_model(name), zoo.model_info(name)
    shape, dtype = WRONG[wrong][0](*info.input_shape)
    inputs = jax.ShapeDtypeStruct(shape, dtype)
    for method in "__call__", "features":
        with pytest.raises(zoo.UsageError, match=WRONG[wrong][1]):
            jax.eval_shape(
                lambda key, x, method=method: model.init(key, x, train=False, method=method),
                jax.random.key(0),
                inputs,
            )


def test_an_image_of_few_rows_is_no_image_with_channels_first():
    model = zoo.create_model("resnet18")
    with pytest.raises(zoo.UsageError, match=r"transpose\(0, 2, 3, 1\)"):
        zoo.init_variables(model, jax.random.key(0), jax.ShapeDtypeStruct((2, 1, 28, 28), "f4"))
    for shape in ((2, 3, 40, 3), (2, 1, 500, 64)):
        jax.eval_shape(
            lambda key, x: model.init(key, x, train=False),
            jax.random.key(0),
            jax.ShapeDtypeStruct(shape, "f4"),
        )


@pytest.mark.parametrize("name", CATALOGUE)
def test_repr_fits_a_screen(name):
    text = repr(zoo.create_model(name, num_classes=7))
    assert text.startswith(type(zoo.create_model(name)).__name__)
    assert "num_classes=7" in text
    assert len(text) < 800
    assert "functools" not in text
    assert "<class" not in text


@pytest.mark.parametrize("name", MAIN)
def test_a_model_is_equal_to_its_copies(name):
    model = zoo.create_model(name)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.clone()):
        assert (other, hash(other), repr(other)) == (model, hash(model), repr(model))
    assert zoo.create_model(name, num_classes=7) != model


@pytest.mark.parametrize("name", MAIN)
@pytest.mark.parametrize(
    ("option", "ours"),
    [
        ({"num_classes": 0}, "None for pooled features"),
        ({"pretrained": True}, r"checkpoints\.load"),
        ({"features_only": True}, "method='features'"),
        ({"in_chans": 1}, r"model\.init.*in_channels"),
    ],
    ids=str,
)
def test_options_of_timm_are_told_ours(name, option, ours):
    with pytest.raises(zoo.UsageError, match=ours):
        zoo.create_model(name, **option)


def test_the_example_of_create_model_runs():
    assert doctest.DocTestFinder().find(zoo.create_model)[0].examples
    for test in doctest.DocTestFinder().find(zoo.create_model, "create_model", globs={}):
        assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
