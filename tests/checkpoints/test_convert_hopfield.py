"""Layers of modern Hopfield networks by the options of the authors' library."""

import doctest

import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from checkpoints.convert.hopfield import from_library
from zoo.hopfield import STATIC, Convergence, Hopfield, Maps, Norm, Norms, Sizes

TOGETHER = Convergence(stop="batch")
RETRIEVAL = {
    "stored_pattern_as_static": True,
    "state_pattern_as_static": True,
    "pattern_projection_as_static": True,
    "normalize_stored_pattern": False,
    "normalize_state_pattern": False,
    "normalize_pattern_projection": False,
    "disable_out_projection": True,
}


@pytest.mark.parametrize(
    ("options", "layer"),
    [
        ({"input_size": 12}, Hopfield(12, convergence=TOGETHER)),
        (RETRIEVAL | {"scaling": 2}, STATIC(beta=2.0, convergence=TOGETHER)),
        (
            {
                "input_size": 8,
                "hidden_size": 6,
                "output_size": 5,
                "pattern_size": 4,
                "stored_pattern_size": 3,
                "pattern_projection_size": 2,
                "num_heads": 2,
                "dropout": 0.5,
                "input_bias": False,
                "add_zero_association": True,
                "association_activation": "tanh_",
            },
            Hopfield(
                8,
                6,
                heads=2,
                convergence=TOGETHER,
                sizes=Sizes(stored=3, projection=2, pattern=4, output=5),
                maps=Maps(use_bias=False),
                zero_association=True,
                activation=jnp.tanh,
                dropout=0.5,
            ),
        ),
        (
            {
                "input_size": 8,
                "pattern_projection_as_connected": True,
                "normalize_state_pattern": False,
                "normalize_stored_pattern_affine": False,
                "normalize_hopfield_space": True,
                "normalize_hopfield_space_eps": 1e-3,
                "association_activation": "gelu",
            },
            Hopfield(
                8,
                convergence=TOGETHER,
                norms=Norms(Norm(affine=False), None, Norm(), Norm(affine=False, epsilon=1e-3)),
                maps=Maps(connected=True),
            ),
        ),
    ],
    ids=["default", "retrieval", "sizes", "norms"],
)
def test_a_layer_has_the_options_of_the_library(options, layer):
    assert from_library(**options) == layer


def test_what_differs_between_heads_may_be_an_array():
    layer = from_library(
        input_size=4,
        num_heads=2,
        scaling=np.asarray([0.5, 2.0]),
        update_steps_max=[-1, 3],
        update_steps_eps=jnp.asarray([0.25, 0.5]),
    )
    assert (layer.beta, layer.steps) == ((0.5, 2.0), (None, 3))
    assert layer.convergence == TOGETHER._replace(epsilon=(0.25, 0.5))
    assert from_library(update_steps_max=None).steps is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_head": 2}, "has no option `num_head`; did you mean 'num_heads'"),
        ({"quantity": 2}, "has no option `quantity`"),
        ({"batch_first": False}, "`batch_first=False` has no counterpart: everything is batch"),
        ({"concat_bias_pattern": True}, "`concat_bias_pattern=True` has no counterpart"),
        ({"association_activation": "no_such"}, "`association_activation=no_such` has no count"),
    ],
)
def test_options_without_a_counterpart_are_named(options, words):
    with pytest.raises(zoo.UsageError, match=words):
        from_library(input_size=4, **options)


def test_the_example_runs():
    example = doctest.DocTestParser().get_doctest(from_library.__doc__, {}, "example", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(example) == (0, 3)
