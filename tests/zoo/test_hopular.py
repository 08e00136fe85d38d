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


@pytest.fixture
def asked(key):
    """A network of one block, rows, and a mask in which one row may see nothing."""
    model = Hopular(SIZES, (1, 3), width=4, heads=2, depth=1)
    rows = jax.random.normal(key, (5, columns(SIZES)))
    variables = jax.jit(partial(model.init, train=False))(key, rows, rows)
    mask = jnp.eye(5, dtype=bool).at[3].set(True)
    return model, variables, rows, jnp.where(mask, -jnp.inf, jnp.log(jnp.arange(1.0, 6))[None])


def test_chunks_have_the_gradients_of_rows_at_once(asked):
    model, variables, rows, mask = asked

    def outputs_and_gradients(model):
        def loss(variables, rows, memory):
            look = model.apply(variables, rows, memory, mask=mask.__getitem__, train=False)
            return jnp.square(look).mean(), look

        return jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(variables, rows, 0.5 * rows)

    found = outputs_and_gradients(model.clone(chunk=2))  # the last chunk is not full
    expected = outputs_and_gradients(model)
    largest = max(np.abs(x).max() for x in jax.tree.leaves(expected))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * largest)


@pytest.mark.parametrize("form", [lambda x: None, lambda x: x, lambda x: x == -jnp.inf])
def test_chunks_take_masks_of_every_form(asked, form):
    model, variables, rows, mask = asked
    look = lambda model: model.apply(  # noqa: E731
        variables, rows, 0.5 * rows, mask=form(mask), train=False
    )
    np.testing.assert_allclose(look(model.clone(chunk=3)), look(model), rtol=1e-5, atol=1e-5)


def test_chunks_are_trained_with_dropout_and_initialised(key):
    model = Hopular(SIZES, (1, 3), width=4, heads=2, depth=1, chunk=2)
    rows = jax.random.normal(key, (5, columns(SIZES)))
    variables = jax.jit(partial(model.init, train=False))(key, rows, rows)
    whole = jax.eval_shape(partial(model.clone(chunk=None).init, train=False), key, rows, rows)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, whole)
    train = jax.jit(
        lambda key: model.apply(variables, rows, rows, train=True, rngs={"dropout": key})
    )
    first, again, other = train(key), train(key), train(jax.random.key(1))
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.slow
def test_memory_grows_with_the_rows_and_not_with_their_square():
    model = Hopular((1,) * 10 + (2,), (10,), width=8, depth=2, heads=4)
    rows = jax.ShapeDtypeStruct((20_000, columns(model.sizes)), jnp.float32)
    variables = jax.eval_shape(
        partial(model.init, train=False), jax.random.key(0), *model.example_inputs()
    )

    def loss(variables, rows, key):
        outputs = model.apply(
            variables,
            rows,
            rows,
            mask=lambda i: i[:, None] == jnp.arange(20_000)[None],
            train=True,
            rngs={"dropout": key},
        )
        return jnp.square(outputs).mean()

    program = jax.jit(jax.grad(loss)).lower(variables, rows, jax.random.key(0)).compile()
    assert program.memory_analysis().temp_size_in_bytes < 2 * 2**30


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"chunk": 0}, "`chunk` must be None or at least 1"),
        ({"sizes": (1, 0)}, "`sizes` must be at least 1"),
        ({"discrete": (4,)}, "`discrete` must be indices of 4 attributes"),
        ({"sizes": (1, 1)}, "rows must have 4 columns"),
    ],
)
def test_what_does_not_fit_is_a_sentence(case, fields, words):
    model, _, rows, memory = case
    with pytest.raises(zoo.UsageError, match=words):
        model.clone(**{"discrete": ()} | fields).init(jax.random.key(0), rows, memory, train=False)
