"""What is special to SReT."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.sret import SlicedAttention, SReT, fixed_permutation, stacked, unstacked

Small = partial(
    SReT,
    image_size=32,
    head_dims=(4, 4),
    heads=(1, 2),
    shared_blocks=(2, 1),
    recursions=(2, 2),
    slices=(4, 1),
    permuted_slices=(2, 1),
    num_classes=3,
)


@pytest.fixture
def inputs(key):
    images = jax.random.normal(key, (2, 32, 32, 3))
    return zoo.init_variables(Small(), key, images), images


def test_a_slice_of_attention_is_attention_on_that_slice(key):
    x = jax.random.normal(key, (2, 12, 4))
    layer = SlicedAttention(2, nn.Dense)
    variables = layer.init(key, x, 1, None)
    whole = layer.apply(variables, x, 3, None)
    for s in range(3):
        part = slice(4 * s, 4 * s + 4)
        alone = layer.apply(variables, x[:, part], 1, None)
        np.testing.assert_allclose(whole[:, part], alone, rtol=1e-5, atol=1e-6)


def test_the_order_decides_only_who_meets_whom(key):
    x = jax.random.normal(key, (1, 6, 4))
    layer = SlicedAttention(1, nn.Dense)
    variables = layer.init(key, x, 1, None)
    order = np.array([3, 0, 5, 1, 4, 2])
    moved = layer.apply(variables, x, 2, order)
    np.testing.assert_allclose(
        moved[:, order], layer.apply(variables, x[:, order], 2, None), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        layer.apply(variables, x, 1, order),
        layer.apply(variables, x, 1, None),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.slow
def test_evaluation_permutes_alike_every_time_and_as_the_caller_says(inputs):
    drawn = []

    def identity(draw, tokens):
        drawn.append((draw, tokens))
        return np.arange(tokens)

    forward = lambda **fields: Small(**fields).apply(*inputs, train=False)  # noqa: E731
    np.testing.assert_array_equal(forward(), forward(permutation=fixed_permutation))
    assert np.abs(forward() - forward(permutation=identity)).max() > 1e-6
    assert drawn == [(0, 16), (1, 16)]


def test_training_draws_permutations_from_their_stream(inputs):
    variables, images = inputs

    def forward(seed):
        rngs = {"permutation": jax.random.key(seed)}
        return Small().apply(variables, images, train=True, mutable=["batch_stats"], rngs=rngs)[0]

    np.testing.assert_array_equal(forward(0), forward(0))
    assert np.abs(forward(0) - forward(1)).max() > 1e-6


def test_blocks_are_shared_and_what_is_between_them_is_not(inputs):
    names = {n for n in inputs[0]["params"] if n.startswith("stage0")}
    assert names == {f"stage0_layer{i}" for i in (0, 1, 3, 4, 5, 7)}


@pytest.mark.parametrize(
    ("fields", "side", "words"),
    [
        ({}, 48, r"48x48 pixels do not fit .* 32x32.*image_size=\(48, 48\).*smallest.* 9x9"),
        ({"image_size": 24}, 24, r"24x24 do not fall into equal slices.*is 9x9"),
        ({"image_size": 8}, 8, r"8x8 do not fall into equal slices.*is 9x9"),
    ],
)
def test_a_wrong_size_is_an_error_with_the_next_step(fields, side, words, key):
    with pytest.raises(zoo.UsageError, match=words):
        zoo.init_variables(Small(**fields), key, jnp.zeros((1, side, side, 3)))


def test_the_smallest_size_works(key):
    images = jax.ShapeDtypeStruct((1, 9, 9, 3), jnp.float32)
    model = Small(image_size=9)
    assert jax.eval_shape(partial(model.init, train=False), key, images)


def test_training_without_a_stream_of_permutations_is_an_error(inputs):
    variables, images = inputs
    train = lambda **fields: Small(**fields).apply(  # noqa: E731
        variables, images, train=True, mutable=["batch_stats"]
    )
    with pytest.raises(zoo.UsageError, match=r"rngs=\{'permutation': key\}"):
        train()
    train(permutation=fixed_permutation)
    train(permuted_slices=(1, 1))


def gradients(model, variables, images):
    def loss(params):
        rngs = {"permutation": jax.random.key(3)}
        logits, _ = model.apply(
            {**variables, "params": params}, images, train=True, mutable=["batch_stats"], rngs=rngs
        )
        return jnp.square(logits).mean(), logits

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])


@pytest.mark.slow
@pytest.mark.parametrize("recursions", [(2, 1), (3, 2)])
def test_the_loop_is_the_plain_form(recursions, inputs, key):
    """Both slices are permuted somewhere, and a block of three passes may begin with either."""
    build = partial(Small, recursions=recursions, slices=(4, 2), permuted_slices=(2, 4))
    images = inputs[1]
    variables = zoo.init_variables(build(), key, images)
    loop = stacked(build(), variables)
    drawn = zoo.init_variables(build(scan=True), key, images)
    assert jax.tree.map(jnp.shape, drawn) == jax.tree.map(jnp.shape, loop)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(
        build(scan=True, remat=True).apply(loop, images, train=False),
        build().apply(variables, images, train=False),
    )
    (value, logits), grads = gradients(build(), variables, images)
    (loop_value, loop_logits), loop_grads = gradients(build(scan=True), loop, images)
    close(loop_value, value)
    close(loop_logits, logits)
    jax.tree.map(close, unstacked(build(), {"params": loop_grads})["params"], grads)


@pytest.mark.slow
def test_more_recursions_do_not_make_the_loop_longer(key):
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)

    def program(recursions):
        model = Small(scan=True, recursions=(recursions, 2))
        shapes = jax.eval_shape(partial(model.init, train=False), key, images)

        def loss(params, rng):
            state = {**shapes, "params": params, "batch_stats": batch_stats}
            return model.apply(
                state, jnp.zeros(images.shape), train=True, rngs={"permutation": rng}, mutable=True
            )[0].sum()

        batch_stats = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes["batch_stats"])
        return str(jax.make_jaxpr(jax.grad(loss))(shapes["params"], key)).count(" = ")

    assert program(1000) == program(10)


def test_names_of_distilled_weights_are_the_same_networks():
    for name in ("sret_t", "sret_lt", "sret_s", "sret_lt_wo_slice"):
        assert zoo.create_model(f"{name}_distill") == zoo.create_model(name)
