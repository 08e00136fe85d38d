"""Hopular: memory, masks and names."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from zoo.hopular import Hopular, columns

SIZES = (1, 3, 1, 2)


@pytest.fixture
def case(key):
    model = Hopular(SIZES, (1, 3), width=4, heads=2, depth=2)
    rows, memory = (
        jax.random.normal(jax.random.fold_in(key, i), (n, columns(SIZES)))
        for i, n in enumerate((3, 5))
    )
    variables = jax.jit(partial(model.init, train=False))(key, rows, memory)
    return model, variables, rows, memory


def test_output_has_a_value_for_each_class_and_number(case):
    model, variables, rows, memory = case
    assert model.apply(variables, rows, memory, train=False).shape == (3, sum(SIZES))


def test_a_memory_embedded_once_serves_like_one_embedded_each_time(case):
    model, variables, rows, memory = case
    remembered = model.apply(variables, memory, method="remember")
    found = model.apply(variables, rows, remembered, method="recall")
    expected = model.apply(variables, rows, memory, train=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    alone = model.apply(variables, rows[:1], remembered, method="recall")
    np.testing.assert_allclose(alone, expected[:1], rtol=1e-4, atol=1e-5)


def test_a_masked_row_of_the_memory_is_not_seen(case):
    model, variables, rows, memory = case
    mask = jnp.zeros((3, 5), bool).at[:, 2].set(True)
    look = lambda m: model.apply(variables, rows, m, mask=mask, train=False)  # noqa: E731
    np.testing.assert_array_equal(look(memory), look(memory.at[2].multiply(-3.0)))
    assert np.abs(look(memory) - look(memory.at[1].multiply(-3.0))).max() > 1e-4


def test_gradients_are_finite_and_reach_every_parameter(case):
    model, variables, rows, memory = case
    loss = lambda v: jnp.square(model.apply(v, rows, memory, train=False)).sum()  # noqa: E731
    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(variables)):
        assert np.isfinite(gradient).all()
        key_bias = "['key']['bias']" in jax.tree_util.keystr(path)  # adds the same to all scores
        assert key_bias or np.abs(gradient).max() > 0, path


def test_names_of_the_repository_round_trip(case):
    model, variables, *_ = case
    tensors = checkpoints.export_weights(model, variables, "hopular")
    buffers = {"memory": np.zeros((2, 11), np.float32), "memory_ids": np.arange(2)}
    found = checkpoints.import_weights(model, tensors | buffers, "hopular")
    jax.tree.map(np.testing.assert_array_equal, found, dict(variables))
    del tensors["embeddings.feature_embeddings.1.0.weight"]
    with pytest.raises(zoo.UsageError, match="missing"):
        checkpoints.import_weights(model, tensors, "hopular")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sizes": (1, 0)}, "`sizes` must be at least 1"),
        ({"discrete": (4,)}, "`discrete` must be indices of 4 attributes"),
        ({"sizes": (1, 1)}, "rows must have 4 columns"),
    ],
)
def test_what_does_not_fit_is_a_sentence(case, fields, words):
    model, _, rows, memory = case
    with pytest.raises(zoo.UsageError, match=words):
        model.clone(**{"discrete": ()} | fields).init(jax.random.key(0), rows, memory, train=False)
