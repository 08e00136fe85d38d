"""What is special to LSSL: three forms that agree, streaming, and options refused in a sentence."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import zoo
from zoo.layers import hippo
from zoo.lssl import LSSL, discretization, transition, tridiagonal
from zoo.lssl.fft_convolution import causal_convolution
from zoo.lssl.linear_state_space import LinearStateSpace

FORMS = (transition.legs, transition.legt, transition.lagt, transition.lagt_toeplitz)


def settings(seed):
    draw = np.random.default_rng(seed)
    fields = {
        "width": int(draw.integers(1, 5)),
        "state_size": 2 * int(draw.integers(1, 5)),
        "channels": int(draw.integers(1, 4)),
        "transition": FORMS[seed % 4],
        "learn": ("none", "shared", "per_feature")[seed % 3],
        "dt_spacing": ("random", "even")[seed % 2],
        "use_bias": bool(seed % 2),
        "use_output": bool(seed % 5),
    }
    return fields, int(draw.integers(2, 40)), int(draw.integers(1, 3))


def three_forms(layer, variables, u):
    """The convolution; the scan and its state; two chunks and their state."""
    call = partial(layer.apply, variables)
    start, cut = call(len(u), method="initial_state"), u.shape[1] // 2
    state, scanned = call(start, u, method="scan")
    middle, first = call(start, u[:, :cut], method="chunk")
    end, second = call(middle, u[:, cut:], method="chunk")
    return call(u, train=False), scanned, state, jnp.concatenate([first, second], axis=1), end


@pytest.mark.parametrize(
    "seed", [n if n < 4 else pytest.param(n, marks=pytest.mark.slow) for n in range(20)]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_convolution_recurrence_and_chunks_agree(seed, dtype, tolerance):
    fields, length, batch = settings(seed)
    with jax.enable_x64(dtype == np.float64):
        layer = LinearStateSpace(**fields, dtype=dtype)
        u = jax.random.normal(jax.random.key(seed), (batch, length, fields["width"]), dtype)
        variables = zoo.init_variables(layer, jax.random.key(1), u)
        variables = jax.tree.map(lambda x: x.astype(dtype), variables)
        convolved, scanned, state, chunked, end = jax.jit(partial(three_forms, layer))(variables, u)
    for found, expected in ((convolved, scanned), (chunked, scanned), (end, state)):
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def test_gradients_in_float32_are_those_in_float64(key):
    layer = LinearStateSpace(width=3, state_size=16, channels=2)
    u = jax.random.normal(key, (2, 300, 3))
    variables = zoo.init_variables(layer, key, u)

    def gradients(dtype):
        def loss(variables, u):
            y = LinearStateSpace(3, 16, 2, dtype=dtype).apply(variables, u, train=False)
            return jnp.mean(y**2)

        cast = jax.tree.map(lambda x: x.astype(dtype), (variables, u))
        return jax.jit(jax.grad(loss, argnums=(0, 1)))(*cast)

    found = gradients(jnp.float32)
    with jax.enable_x64(True):
        expected = gradients(jnp.float64)
    leaves = (map(np.asarray, jax.tree.leaves(tree)) for tree in (found, expected))
    for single, double in zip(*leaves, strict=True):
        assert np.abs(single - double).max() <= 2e-4 * max(np.abs(double).max(), 1e-3)


@pytest.mark.slow
def test_memory_is_linear_in_the_length():
    layer = LinearStateSpace(width=16, state_size=32)

    def temporaries(length):
        u = jax.ShapeDtypeStruct((1, length, 16), jnp.float32)
        variables = zoo.init_variables(layer, jax.random.key(0), u)
        loss = lambda v, u: jnp.mean(layer.apply(v, u, train=False) ** 2)  # noqa: E731
        step = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(variables, u).compile()
        return step.memory_analysis().temp_size_in_bytes

    assert temporaries(16_384) <= 4.5 * temporaries(4_096)


@pytest.mark.parametrize("dt", [0.01, 0.25, 1.0])
@pytest.mark.parametrize("size", [6, 16])
def test_zero_order_hold_is_exact_in_float32_for_fast_modes(size, dt):
    a, b = hippo.fourier_diagonal(size)
    joint = np.pad(dt * np.concatenate([a, b[:, None]], axis=1), ((0, 1), (0, 0)))
    expected = scipy.linalg.expm(joint)[:-1]
    found = discretization.zero_order_hold(*(jnp.asarray(x, jnp.float32) for x in (a, b)), dt)
    found = np.concatenate([found[0], found[1][:, None]], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_steps_of_a_classifier_say_what_it_says_of_each_prefix(key):
    for options in (
        {"pool": "mean"},
        {"pool": "last", "prenorm": False},
        {"pool": "first"},
        {"pool": "sum"},
    ):
        model = LSSL(width=4, state_size=4, depth=2, num_classes=3, **options)
        u = jax.random.normal(key, (2, 5, 1))
        variables = zoo.init_variables(model, key, u)
        systems = model.apply(variables, method="systems")
        stream = model.apply(variables, 2, method="begin")
        for n in range(5):
            size = [leaf.shape for leaf in jax.tree.leaves(stream)]
            stream, logits = model.apply(variables, systems, stream, u[:, n], method="step")
            assert size == [leaf.shape for leaf in jax.tree.leaves(stream)]
            expected = model.apply(variables, u[:, : n + 1], train=False)
            np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_fft_convolution_are_those_of_the_sum(key):
    u, kernel = jax.random.normal(key, (2, 3, 7)), jax.random.normal(key, (3, 2, 7))

    def direct(u, kernel):
        rows = [jnp.einsum("hmj,bhj->bhm", kernel[..., : n + 1], u[..., n::-1]) for n in range(7)]
        return jnp.stack(rows, axis=-1)

    for argument in (0, 1):
        found, expected = (
            jax.grad(lambda *a, f=f: jnp.sin(f(*a)).sum(), argument)(u, kernel)
            for f in (causal_convolution, direct)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_tridiagonal_systems_are_solved_where_pivots_vanish(size, key):
    lower, main, upper = jax.random.normal(key, (3, size))
    lower, main, upper = lower.at[0].set(0), main * (size == 1), upper.at[-1].set(0)
    if size % 2:  # without a main diagonal, odd ones are singular
        main = main.at[-1].set(1.5)
    right = jax.random.normal(key, (size, 3))
    rebuilt = lambda *a: jnp.diag(a[0][1:], -1) + jnp.diag(a[1]) + jnp.diag(a[2][:-1], 1)  # noqa: E731
    dense = lambda *a: jnp.linalg.solve(rebuilt(*a[:3]), a[3])  # noqa: E731
    x = tridiagonal.solve(lower, main, upper, right)
    np.testing.assert_allclose(x, dense(lower, main, upper, right), rtol=1e-3, atol=1e-4)
    back = tridiagonal.multiply(lower, main, upper, x)
    np.testing.assert_allclose(back, right, rtol=1e-4, atol=1e-4)
    arguments = (lower, main, upper, right)
    for found, expected in zip(
        *(
            jax.grad(lambda *a, f=f: jnp.sin(f(*a)).sum(), argnums=(0, 1, 2, 3))(*arguments)
            for f in (tridiagonal.solve, dense)
        ),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("build", [transition.legs, transition.legt, transition.jacobi])
def test_the_structured_bilinear_transform_is_the_dense_one(build, key):
    form = build(6)
    parts = {n: init(key, shape, jnp.float32) for n, (shape, init) in form.parts.items()}
    parts["pr"] = parts["pr"] * 1.3  # trained sides differ
    dense = discretization.generalized_bilinear(*form.system(parts), 0.1)
    fast = form.bilinear(parts, 0.1)
    for found, expected in zip(fast, dense, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_permutation_is_fixed_and_moves_every_channel_alike(key):
    x = jax.random.normal(key, (2, 3, 4, 2))
    plain, mixed = (LSSL(permutation_seed=s).sequence(x) for s in (None, 0))
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(mixed, plain[:, order])


@pytest.mark.parametrize(
    ("fields", "shape", "words"),
    [
        ({"learn": "all"}, (1, 4, 1), "`learn` must be one of none, shared, per_feature"),
        ({"pool": "max"}, (1, 4, 1), "`pool` must be one of mean, sum, first, last"),
        ({"depth": 0}, (1, 4, 1), "`depth` must be at least 1"),
        ({"channels": 0}, (1, 4, 1), "`channels` must be at least 1"),
        ({"dt_range": (0.1, 0.01)}, (1, 4, 1), "`dt_range` must be two positive numbers"),
        ({"rate": 0.0}, (1, 4, 1), "`rate` must be positive"),
        ({"dropout": 1.0}, (1, 4, 1), "`dropout` must be in"),
        ({}, (4, 1), "inputs must have a batch axis"),
        ({}, (1, 0, 1), "at least one step"),
    ],
)
def test_a_bad_option_is_a_sentence(fields, shape, words, key):
    model = LSSL(**({"width": 4, "state_size": 4, "depth": 1} | fields))
    with pytest.raises(zoo.UsageError, match=words):
        zoo.init_variables(model, key, jnp.zeros(shape))


@pytest.mark.parametrize(
    ("method", "state", "u"),
    [
        ("chunk", (1, 3, 4), (2, 5, 3)),  # would be broadcast over the batch
        ("scan", (2, 3, 5), (2, 5, 3)),
        ("step", (2, 3, 4), (2, 1)),  # would be broadcast over the features
    ],
)
def test_states_and_steps_that_do_not_fit_are_a_sentence(method, state, u, key):
    layer = LinearStateSpace(width=3, state_size=4)
    variables = zoo.init_variables(layer, key, jnp.zeros((2, 5, 3)))
    first = (layer.apply(variables, method="system"),) if method == "step" else ()
    with pytest.raises(zoo.UsageError, match=r"its state \(batch, 3, 4\), got"):
        layer.apply(variables, *first, jnp.zeros(state), jnp.zeros(u), method=method)


def test_sizes_without_a_system_are_refused():
    with pytest.raises(zoo.UsageError, match="must be even"):
        hippo.chebyshev(3)


POOLS = ("mean", "sum", "first", "last")


@pytest.mark.parametrize(
    "pool", [POOLS[0], *(pytest.param(p, marks=pytest.mark.slow) for p in POOLS[1:])]
)
def test_padded_series_are_pooled_as_if_they_were_not(pool, key):
    model = LSSL(width=4, state_size=4, depth=1, num_classes=3, pool=pool)
    u, lengths = jax.random.normal(key, (2, 6, 2)), np.array([6, 4])
    u = u.at[1, 4:].set(100.0)  # what lies behind the end
    variables = zoo.init_variables(model, key, u)
    forward = jax.jit(partial(model.apply, train=False))
    whole = forward(variables, u, lengths=lengths)
    for found, series, length in zip(whole, u, lengths, strict=True):
        alone = forward(variables, series[None, :length])
        np.testing.assert_allclose(found, alone[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "lengths", "words"),
    [
        ({}, [4, 4], r"one number for each of 3 sequences, got the shape \(2,\)"),
        ({}, [4, 0, 4], "from 1 to 5, .* got 0 for sequence 1"),
        ({}, [4, 4, 6], "got 6 for sequence 2"),
        ({"permutation_seed": 0}, [4, 4, 4], "a permutation would move"),
    ],
)
def test_lengths_that_do_not_fit_are_a_sentence(fields, lengths, words, key):
    model, u = LSSL(width=2, state_size=2, depth=1, **fields), jnp.zeros((3, 5, 1))
    variables = zoo.init_variables(model, key, u)
    with pytest.raises(zoo.UsageError, match=words):
        model.apply(variables, u, lengths=np.array(lengths), train=False)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_long_stream_of_few_bits_stays_with_the_convolution(dtype, key):
    model = LSSL(width=4, state_size=4, depth=1, num_classes=3, dtype=dtype)
    u = jax.random.normal(key, (2, 784, 3))
    variables = zoo.init_variables(model, key, u)

    @jax.jit
    def stream(variables, u):
        systems = model.apply(variables, method="systems")
        step = lambda s, u: model.apply(variables, systems, s, u, method="step")  # noqa: E731
        begin = model.apply(variables, len(u), method="begin")
        return jax.lax.scan(step, begin, u.swapaxes(0, 1))[1][-1]

    expected = jax.jit(partial(model.apply, train=False))(variables, u)
    assert np.abs(stream(variables, u) - expected).max() <= 0.02 * np.abs(expected).max()


def test_an_odd_fourier_system_is_the_next_even_one_without_its_last_sine():
    for build in (hippo.fourier, hippo.fourier_diagonal):
        for size in (1, 3, 7):
            (a, b), (a_even, b_even) = build(size), build(size + 1)
            np.testing.assert_array_equal(a, a_even[:-1, :-1])
            np.testing.assert_array_equal(b, b_even[:-1])
