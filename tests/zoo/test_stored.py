"""Parameters in fewer bytes: bit for bit what they were, and as few as promised."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.parameters import point_codes, stored
from zoo.parameters.points import learned_points, nearest, points, uniform
from zoo.parameters.ternary import ternary

SHAPES = [(3, 3, 5, 7), (17, 4), (2, 2)]


def tree(shape, seed=0):
    kernel = jax.random.normal(jax.random.key(seed), shape)
    return {"layer": {"kernel": kernel, "bias": jnp.arange(shape[-1], dtype=jnp.float32)}}


def again(params, stored_as):
    """Stored and read; shapes alone tell what is stored."""
    packed = stored.packed(params, stored_as)
    told = stored.abstract(jax.eval_shape(lambda: params), stored_as)
    described = lambda x: (x.shape, x.dtype)  # noqa: E731
    assert jax.tree.map(described, packed) == jax.tree.map(described, told)
    shapes = jax.eval_shape(lambda: params)
    return packed, stored.unpacked(packed, shapes, stored_as)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("measure", ["median", "mean"])
def test_ternary_kernels_take_two_bits_and_come_back(shape, measure):
    method = ternary(measure=measure)
    params = method.join(*method.split(tree(shape)))
    packed, found = again(params, method.stored_as)
    assert stored.size(packed["layer"]["kernel"]) == math.ceil(math.prod(shape) / 4) + 4
    assert jax.tree.all(jax.tree.map(np.array_equal, found, params))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_equal_steps_take_their_bits_and_come_back(shape, bits):
    method = points(bits, bucket=16)
    params = method.join(*method.split(tree(shape)))
    packed, found = again(params, method.stored_as)
    count = math.prod(shape)
    expected = math.ceil(count * bits / 8) + 8 * math.ceil(count / 16)
    assert stored.size(packed["layer"]["kernel"]) == expected
    largest = jnp.abs(params["layer"]["kernel"]).max()
    assert jnp.abs(found["layer"]["kernel"] - params["layer"]["kernel"]).max() <= 1e-6 * largest


@pytest.mark.parametrize(("bits", "kernels"), [(1, False), (2, True), (3, False)])
def test_learned_points_come_back(bits, kernels):
    method = learned_points(bits, bucket=16, kernels=kernels)
    trained, kept = method.split(tree((3, 3, 5, 7)))
    moved = trained["layer"]["kernel"]["points"] * 0.9 + 0.02  # ends are not at 0 and 1
    trained["layer"]["kernel"]["points"] = moved[::-1]
    params = method.join(trained, kept)
    form = point_codes.stored_as(trained, bits, bucket=16)
    packed, found = again(params, form)
    assert stored.size(packed["layer"]["kernel"]) == (
        math.ceil(315 * bits / 8) + 8 * math.ceil(315 / 16) + 4 * 2**bits
    )
    largest = jnp.abs(params["layer"]["kernel"]).max()
    assert jnp.abs(found["layer"]["kernel"] - params["layer"]["kernel"]).max() <= 1e-6 * largest


def test_the_gradient_of_points_is_that_of_finite_differences():
    """Sums over what is assigned to a point; no number is near the middle of two points."""
    kernel = jax.random.normal(jax.random.key(1), (6, 8))
    weights = jax.random.normal(jax.random.key(2), (6, 8))
    loss = lambda p: (jnp.sin(nearest(kernel, p, 12)) * weights).sum()  # noqa: E731
    with jax.enable_x64(True):
        known = jnp.asarray([0.03, 0.3, 0.61, 0.97], jnp.float64)
        kernel, weights = kernel.astype(jnp.float64), weights.astype(jnp.float64)
        found, step = jax.grad(loss)(known), 1e-6
        for j in range(4):
            moved = jnp.zeros(4).at[j].set(step)
            expected = (loss(known + moved) - loss(known - moved)) / (2 * step)
            assert abs(found[j] - expected) <= 1e-6 * max(abs(float(expected)), 1)


def test_equal_steps_let_the_gradient_through():
    method = points(2, bucket=16)
    loss = lambda p: (method.join(p, ())["layer"]["kernel"] * 3).sum()  # noqa: E731
    gradients = jax.grad(loss)(tree((4, 5)))
    assert jnp.allclose(gradients["layer"]["kernel"], 3)


def test_equal_steps_are_points_at_equal_distances():
    kernel = jax.random.normal(jax.random.key(3), (5, 9))
    steps = jnp.linspace(0, 1, 8)
    assert jnp.allclose(uniform(kernel, 8, 16), nearest(kernel, steps, 16), atol=1e-6)


def test_a_constant_bucket_moves_unless_zero_is_a_point():
    kernel = jnp.full((4, 4), 0.5)
    assert jnp.array_equal(uniform(kernel, 4, 16), kernel)
    assert jnp.allclose(nearest(kernel, jnp.asarray([0.25, 1.0]), 16), 0.75)


def test_what_a_form_cannot_hold_is_refused():
    with pytest.raises(UsageError, match="layer/kernel cannot be stored as `stored_as` ternary"):
        stored.packed(tree((4, 4)), ternary().stored_as)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"name": "turnary", "arguments": {}}, "must name one of ternary"),
        ({"name": "ternary", "arguments": {"bits": 3}}, "cannot take"),
        ({"name": "ternary", "other": 1}, "must name one of"),
        ({"name": "points", "arguments": {"bits": 9}}, "`bits` must be from 1 to 8"),
        ({"name": "points", "arguments": {"bits": 1, "bucket": 0}}, "`bucket` must be at least 2"),
        ({"name": "points", "arguments": {"bits": 1, "points": {}}}, "must be 2 numbers"),
        ({"name": "ternary", "arguments": {"patterns": "nothing"}}, "no parameter has a path"),
    ],
)
def test_wrong_forms_are_one_sentence(form, message):
    with pytest.raises(UsageError, match=message):
        stored.packed(tree((4, 4)), form)
