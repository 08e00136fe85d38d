"""What people do with networks in JAX: every row of the catalogue, on its smallest form, bears it.

Most of it is traced only. Derivatives are those of `zoo.layers.bilinear` and of the solvers, for
which right numbers are tested below.
"""

import copy
import functools
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import zoo
from tests.zoo import tiny
from zoo.catalogue import CATALOGUE
from zoo.layers import windows
from zoo.lssl import discretization, tridiagonal
from zoo.lssl.fft_convolution import causal_convolution

BATCH = PartitionSpec("data")
SMALL_SERIES = {"width": 4, "state_size": 4, "depth": 1, "num_classes": 3}


FAST = ("resnet8", "resnetv2_18", "inception_nano", "nasnet_nano", "tnt_nano", "sret_nano")
FAST += ("lssl_nano", "hopfield_mil_nano", "hopfield_lookup_nano", "hopfield_encoder_nano")


def form(name):
    """The smallest form of a row, and the shape of one input."""
    info = zoo.model_info(name)
    if info.family in tiny.SHRINK:
        build, shape = tiny.tiny(name)
        return build(**({"cells": (1,)} if info.family == "nasnet" else {})), shape
    if info.family == "lssl":
        return zoo.create_model(name, **SMALL_SERIES), (5, info.channels)
    return zoo.create_model(name), info.input_shape


def forms():
    """One row of each form."""
    found = {}
    for name in (*FAST, *CATALOGUE):
        found.setdefault(form(name)[0], name)
    return list(found.values())


FORMS = forms()
FAST_AND_SLOW = [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in FORMS]


@pytest.fixture(scope="module", params=FAST_AND_SLOW)
def name(request):
    """A row: its tests follow each other, so that it is traced once."""
    return request.param


@functools.cache
def traced(name):
    """A network as a function of its parameters, the rest and inputs, and the first two's types."""
    model, shape = form(name)
    inputs = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), inputs)
    params = variables.pop("params")
    apply = lambda params, rest, x: model.apply({**rest, "params": params}, x, train=False)  # noqa: E731
    return apply, params, variables, inputs


@pytest.mark.parametrize("name", CATALOGUE)
def test_copies_are_equal_and_have_one_hash(name):
    model = zoo.create_model(name)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), zoo.create_model(name)):
        assert again == model
        assert hash(again) == hash(model)


def test_a_factory_of_ones_own_is_equal_to_its_copies():
    norm = partial(zoo.layers.norm.BatchNorm, epsilon=1e-3)
    model = zoo.create_model("resnet8", norm=norm)
    assert copy.deepcopy(model) == model != zoo.create_model("resnet8")


def test_batches_may_be_empty_symbolic_or_on_an_explicit_mesh(name):
    apply, params, rest, inputs = traced(name)
    size = jax.export.symbolic_shape("b")[0]
    shapes = [jax.ShapeDtypeStruct((b, *inputs.shape[1:]), jnp.float32) for b in (0, size)]
    for shape in shapes:
        assert jax.eval_shape(apply, params, rest, shape).shape[0] == shape.shape[0]
    mesh = jax.make_mesh((2,), ("data",))
    spread = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype, sharding=NamedSharding(mesh, BATCH))
    with jax.set_mesh(mesh):
        logits = jax.eval_shape(apply, params, rest, spread)
    # JAX's attention forgets the batch's place where all states share their stored patterns.
    assert logits.sharding.spec[0] == (None if name == "hopfield_lookup_nano" else "data")


def test_derivatives_of_every_order_go_through_shard_map(name):
    """Gradients of a directional derivative: forward mode, linearization, transposition."""
    apply, params, rest, inputs = traced(name)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))

    def curvature(params, rest, x):
        loss = lambda p: jax.lax.pmean(jnp.square(apply(p, rest, x)).sum(), "data")  # noqa: E731
        along = lambda p: jax.jvp(loss, (p,), (params,))[1]  # noqa: E731
        return jax.grad(along)(params)

    on_devices = jax.shard_map(
        curvature,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(), BATCH),
        out_specs=PartitionSpec(),
    )
    found = jax.eval_shape(on_devices, params, rest, inputs)
    assert jax.tree.map(lambda leaf: leaf.shape, found) == jax.tree.map(jnp.shape, params)


def test_a_network_with_a_symbolic_batch_is_exported_for_every_platform():
    apply, params, rest, _ = traced("hopfield_mil_nano")
    sheets = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 32, 32, 1"), jnp.float32)
    exported = jax.export.export(jax.jit(apply), platforms=("cpu", "tpu", "cuda"))
    assert str(exported(params, rest, sheets).out_avals[0].shape) == "(b, 2)"


def tridiagonal_matrix(lower, main, upper):
    return jnp.diag(main) + jnp.diag(lower[1:], -1) + jnp.diag(upper[:-1], 1)


def direct_convolution(u, kernel):
    steps = range(u.shape[-1])
    rows = [jnp.einsum("hmj,bhj->bhm", kernel[..., : n + 1], u[..., n::-1]) for n in steps]
    return jnp.stack(rows, axis=-1)


BILINEAR = {  # what has derivatives of its own, the same by JAX alone, and shapes
    "depthwise": (
        lambda x, k: windows.depthwise(x, k, 2, ((1, 1), (0, 1))),
        lambda x, k: windows._convolve(x, k, 2, ((1, 1), (0, 1))),
        ((2, 4, 3, 2), (3, 3, 1, 2)),
    ),
    "causal convolution": (causal_convolution, direct_convolution, ((2, 2, 3), (2, 1, 3))),
    "solve": (
        lambda a, b: discretization.solve(a + 4 * jnp.eye(3), b),
        lambda a, b: jnp.linalg.inv(a + 4 * jnp.eye(3)) @ b,
        ((3, 3), (3, 2)),
    ),
    "tridiagonal solve": (
        lambda a, b: tridiagonal.solve(a[0].at[0].set(0), a[1] + 4, a[2].at[-1].set(0), b),
        lambda a, b: jnp.linalg.inv(tridiagonal_matrix(a[0], a[1] + 4, a[2])) @ b,
        ((3, 3), (3, 2)),
    ),
}


@pytest.mark.parametrize("name", BILINEAR)
def test_derivatives_are_those_of_jax(name):
    function, plain, shapes = BILINEAR[name]
    draw = np.random.default_rng(0).normal
    with jax.enable_x64(True):
        x, y, dx, dy = (jnp.asarray(draw(size=shape)) for shape in 2 * shapes)

        def derivatives(f, x, y):
            loss = lambda x, y: jnp.square(f(x, y)).sum()  # noqa: E731
            slope = lambda x, y: jax.jvp(loss, (x, y), (dx, dy))[1]  # noqa: E731
            each = jax.vmap(f, in_axes=(0, None))
            return (
                jax.jvp(f, (x, y), (dx, dy)),
                jax.grad(slope, argnums=(0, 1))(x, y),
                jax.jvp(jax.grad(loss, argnums=(0, 1)), (x, y), (dx, dy))[1],
                jax.grad(lambda y: jnp.sin(each(jnp.stack([x, dx]), y)).sum())(y),
            )

        found, expected = (jax.jit(partial(derivatives, f))(x, y) for f in (function, plain))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-10), found, expected)


SMOOTH = ("lssl_nano", pytest.param("tnt_nano", marks=pytest.mark.slow))


# Networks with ReLU have kinks, which finite differences of their gradients may step over.
@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_of_a_network_are_finite_differences(name):
    model, shape = form(name)
    with jax.enable_x64(True):
        model = model.clone(dtype=jnp.float64)
        draw = np.random.default_rng(0).normal
        x = jnp.asarray(draw(size=(2, *shape)))
        variables = zoo.init_variables(model, jax.random.key(0), x)
        variables = jax.tree.map(lambda v: v.astype(jnp.float64), variables)
        params = variables.pop("params")
        direction = jax.tree.map(lambda p: jnp.asarray(draw(size=p.shape)), params)

        def loss(p):
            return jnp.sin(model.apply({**variables, "params": p}, x, train=False)).sum()

        @jax.jit
        def derivatives(params):
            dot = lambda tree: sum(map(jnp.vdot, *map(jax.tree.leaves, (tree, direction))))  # noqa: E731
            slope = lambda p: jax.jvp(loss, (p,), (direction,))[1]  # noqa: E731
            near = [
                jax.tree.map(lambda p, d, s=s: p + s * 1e-6 * d, params, direction) for s in (1, -1)
            ]
            ahead, behind = (jax.value_and_grad(loss)(p) for p in near)
            first = slope(params), dot(jax.grad(loss)(params)), (ahead[0] - behind[0]) / 2e-6
            second = (
                dot(jax.grad(slope)(params)),
                dot(jax.jvp(jax.grad(loss), (params,), (direction,))[1]),
                (dot(ahead[1]) - dot(behind[1])) / 2e-6,
            )
            return first, second

        for found in derivatives(params):
            np.testing.assert_allclose(found, found[0], rtol=1e-5)
