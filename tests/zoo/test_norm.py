"""Batch norm against float64, wherever the numbers lie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.layers.norm import BatchNorm

EPSILON = 1e-5


def batch_norm(x, running_mean, cotangent):
    """Result, gradient of the input, and the new running mean and variance."""
    norm = BatchNorm(train=True, momentum=0.0, unbiased=False, dtype=jnp.float32)
    size = x.shape[-1:]
    variables = {
        "params": {"scale": jnp.ones(size), "bias": jnp.zeros(size)},
        "batch_stats": {"mean": jnp.asarray(running_mean, jnp.float32), "var": jnp.ones(size)},
    }

    def apply(x):
        return norm.apply(variables, x, mutable=["batch_stats"])

    y, vjp, new = jax.vjp(apply, x, has_aux=True)
    return y, vjp(cotangent)[0], new["batch_stats"]["mean"], new["batch_stats"]["var"]


def in_float64(x, cotangent):
    x, g = np.asarray(x, np.float64), np.asarray(cotangent, np.float64)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    spread = np.sqrt(var + EPSILON)
    y = (x - mean) / spread
    dx = (g - g.mean((0, 1, 2)) - y * (g * y).mean((0, 1, 2))) / spread
    return y, dx, mean, var


@pytest.mark.parametrize(
    ("dtype", "mean", "spread", "tolerance"),
    [
        (jnp.float32, 0.0, 1.0, 1e-5),
        (jnp.float32, 1000.0, 1.0, 1e-4),
        (jnp.float32, -100.0, 0.1, 1e-4),
        (jnp.bfloat16, 0.0, 1.0, 1e-3),
        (jnp.bfloat16, 10.0, 1.0, 1e-3),
        (jnp.bfloat16, 30.0, 1.0, 1e-2),
    ],
)
def test_the_first_step_agrees_with_float64(dtype, mean, spread, tolerance, key):
    keys = jax.random.split(key)
    x = (mean + spread * jax.random.normal(keys[0], (16, 8, 8, 3))).astype(dtype)
    cotangent = jax.random.normal(keys[1], x.shape)
    ours = batch_norm(x, np.zeros(3), cotangent)
    for found, expected in zip(ours, in_float64(x, cotangent), strict=True):
        scale = np.abs(expected).max()
        rounding = 2**-7 if found.dtype == jnp.bfloat16 else 0  # the gradient has the dtype of x
        difference = np.abs(np.asarray(found, np.float64) - expected).max()
        assert difference <= (tolerance + rounding) * scale


def test_one_pass_is_as_good_as_two_once_the_running_mean_is_near(key):
    x = (50 + jax.random.normal(key, (16, 8, 8, 3))).astype(jnp.bfloat16)
    cotangent = jnp.ones(x.shape).at[:, 0].set(-1.0)
    mean = np.asarray(x, np.float64).mean((0, 1, 2))
    one = batch_norm(x, mean + 1.0, cotangent)  # a spread beside it
    two = batch_norm(x.astype(jnp.float32), np.zeros(3), cotangent)
    for a, b in zip(one[:1] + one[2:], two[:1] + two[2:], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_in_bfloat16_the_map_is_read_once(key):
    """The sums do not wait for a mean: no reduction depends on another one."""

    def depth(dtype):
        x = jnp.zeros((4, 4, 4, 3), dtype)
        jaxpr = jax.make_jaxpr(lambda x: batch_norm(x, np.zeros(3), jnp.ones(x.shape))[3])(x).jaxpr
        return _longest_chain(jaxpr, "reduce_sum")

    assert depth(jnp.bfloat16) == 1
    assert depth(jnp.float32) == 2


def _longest_chain(jaxpr, name):
    """How many operations of this name on maps follow one another on the way to a result."""
    depth = {}

    def is_map(equation):
        return equation.invars[0].aval.ndim >= 4

    def of(variable):  # a literal has none and cannot be hashed
        return 0 if hasattr(variable, "val") else depth.get(variable, 0)

    for equation in jaxpr.eqns:
        before = max((of(v) for v in equation.invars), default=0)
        inner = [p.jaxpr for p in equation.params.values() if hasattr(p, "jaxpr")]
        inside = max((_longest_chain(j, name) for j in inner), default=0)
        for v in equation.outvars:
            depth[v] = before + inside + (equation.primitive.name == name and is_map(equation))
    return max((of(v) for v in jaxpr.outvars), default=0)
