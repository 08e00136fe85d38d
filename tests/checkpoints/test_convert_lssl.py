"""LSSL's tensors in the authors' names, there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from zoo.lssl import LSSL, transition


@pytest.mark.parametrize(
    ("form", "learn"),
    [
        (transition.legs, "shared"),
        (transition.legt, "per_feature"),
        (transition.lagt_sum, "none"),
        (transition.lagt_toeplitz, "shared"),
    ],
)
def test_export_and_import_are_inverses(form, learn, key):
    model = LSSL(width=4, state_size=6, depth=2, transition=form, learn=learn, num_classes=3)
    variables = zoo.init_variables(model, key, jnp.zeros((1, 5, 2)))
    tensors = checkpoints.export_weights(model, variables, "s4")
    again = checkpoints.import_weights(model, tensors, "s4")
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    assert tensors["model.layers.1.layer.transition.I"].shape == (6, 6)
    twice = checkpoints.export_weights(model, again, "s4")
    assert list(twice) == list(tensors)
    del tensors["model.layers.0.layer.D"]
    with pytest.raises(zoo.UsageError, match=r"- model\.layers\.0\.layer\.D .*missing"):
        checkpoints.import_weights(model, tensors, "s4")
