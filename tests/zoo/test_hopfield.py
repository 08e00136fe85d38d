"""Retrieval, associations, masks, streaming and the networks made of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import checkpoints
import zoo
from zoo.hopfield import (
    NO_NORMS,
    STATIC,
    Convergence,
    Hopfield,
    HopfieldDecoderLayer,
    HopfieldEncoderLayer,
    HopfieldLayer,
    HopfieldPooling,
    Maps,
    Norm,
    Norms,
    Sizes,
    energy,
    retrieve,
    tiles,
)


def moved(tree, key):
    """Variables away from their special initial values."""
    return jax.tree.map(lambda p: p + 0.3 * jax.random.normal(key, p.shape), tree)


@pytest.mark.parametrize("beta", [0.1, 1.0, 20.0])
def test_energy_is_not_negative_and_never_increases(beta, key):
    patterns = jax.random.normal(key, (20, 8))
    states = 2 * jax.random.normal(jax.random.fold_in(key, 1), (50, 8))
    path = [retrieve(patterns, states, beta, k) for k in range(6)]
    energies = np.stack([energy(patterns, state, beta) for state in path])
    assert energies.min() >= 0
    assert np.diff(energies, axis=0).max() <= 1e-5 * energies.max()


def test_separated_patterns_are_retrieved_within_the_bound_of_the_paper(key):
    """Theorem 5: one update ends within 2 (n - 1) exp(-beta (separation - 2 r M)) M."""
    beta, n, radius = 8.0, 30, 0.05
    patterns = jax.random.normal(key, (n, 64))
    patterns = 4 * patterns / jnp.linalg.norm(patterns, axis=-1, keepdims=True)
    noise = jax.random.normal(jax.random.fold_in(key, 1), patterns.shape)
    noise = radius * noise / jnp.linalg.norm(noise, axis=-1, keepdims=True)
    products = np.asarray(patterns @ patterns.T, np.float64)
    largest = np.sqrt(products.diagonal().max())
    np.fill_diagonal(others := products.copy(), -np.inf)
    separation = products.diagonal() - others.max(axis=1)
    exponent = -beta * (separation - 2 * radius * largest)
    bound = 2 * (n - 1) * np.exp(exponent) * largest
    distance = np.linalg.norm(retrieve(patterns, patterns + noise, beta) - patterns, axis=-1)
    assert (bound < 0.1).all()
    assert (distance <= bound + 1e-5).all()


def test_half_erased_digits_are_remembered():
    digits = load_digits().data[:40] - 8
    digits = (digits / np.linalg.norm(digits, axis=1, keepdims=True)).astype(np.float32)
    half = digits.copy()
    half[:, 32:] = 0
    found = retrieve(jnp.asarray(digits), jnp.asarray(half), 50.0, 5)
    nearest = np.square(np.asarray(found)[:, None] - digits[None]).sum(axis=-1).argmin(axis=1)
    assert (nearest == np.arange(40)).mean() >= 0.9


def test_the_static_layer_is_retrieve(key):
    patterns, states = jax.random.normal(key, (1, 6, 5)), jax.random.normal(key, (1, 3, 5))
    layer = STATIC(beta=2.0, steps=3, convergence=Convergence(epsilon=1e-9))
    found = layer.apply({}, patterns, states, train=False)
    np.testing.assert_allclose(found[0], retrieve(patterns[0], states[0], 2.0, 4), atol=1e-6)


OPTIONS = {
    "plain": {},
    "heads and sizes": {"heads": 3, "hidden_size": 5, "sizes": Sizes(pattern=7, output=2)},
    "iterated": {"heads": 2, "steps": 3, "beta": (0.3, 2.0)},
    "converged": {"heads": 2, "steps": (None, 1), "convergence": Convergence((1e-3, 1e-2), 8)},
    "batch": {"steps": None, "convergence": Convergence(max_steps=8, stop="batch")},
    "connected": {"maps": Maps(connected=True), "norms": Norms(space=Norm())},
    "static": {"maps": Maps(static=("projection",), use_out=False), "zero_association": True},
    "bare": {"norms": Norms(None, Norm(affine=False)), "maps": Maps(use_bias=False)},
    "activated": {"activation": jnp.tanh},
}


QUICK = ("plain", "iterated", "activated")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in OPTIONS]
)
def test_layers_are_the_same_in_a_batch_and_under_jit(name, key):
    x = jax.random.normal(key, (3, 5, 6))
    layer = Hopfield(6, **OPTIONS[name])
    variables = moved(layer.init(key, x, train=False), key)
    forward = partial(layer.apply, variables, train=False)
    together = forward(x)
    np.testing.assert_allclose(jax.jit(forward)(x), together, atol=1e-5)
    if layer.convergence.stop == "sample":
        alone = jnp.concatenate([forward(example[None]) for example in x])
        np.testing.assert_allclose(alone, together, atol=1e-5)
    gradients = jax.grad(lambda v: jnp.square(layer.apply(v, x, train=False)).sum())(variables)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("zero", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_row_without_patterns_reads_zeros_and_has_finite_gradients(steps, zero, key):
    x = jax.random.normal(key, (2, 4, 6))
    layer = Hopfield(6, steps=steps, zero_association=zero, maps=Maps(use_out=False))
    variables = layer.init(key, x, train=False)
    padding = jnp.zeros((2, 4), bool).at[0].set(True)
    read = lambda v, x: layer.apply(v, x, padding_mask=padding, train=False)  # noqa: E731
    out = read(variables, x)
    np.testing.assert_array_equal(out[0], 0)
    assert np.abs(out[1]).max() > 0
    gradients = jax.grad(lambda v, x: read(v, x).sum(), argnums=(0, 1))(variables, x)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_masks_of_all_shapes_agree(key):
    x, heads = jax.random.normal(key, (2, 4, 6)), 2
    layer = Hopfield(6, heads=heads)
    variables = moved(layer.init(key, x, train=False), key)
    forbidden = jnp.triu(jnp.ones((4, 4), bool), 1)
    shapes = [
        forbidden,
        jnp.where(forbidden, -jnp.inf, 0.0),
        jnp.broadcast_to(forbidden[None], (4, 4, 4)),
        jnp.broadcast_to(forbidden[None, None], (2, heads, 4, 4)),
    ]
    found = [layer.apply(variables, x, association_mask=m, train=False) for m in shapes]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-6)
    weights = layer.apply(variables, x, association_mask=forbidden, method="associations")
    assert np.abs(np.where(forbidden[None, None], weights, 0)).max() == 0
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [pytest.param({}, marks=pytest.mark.slow), {"zero_association": True, "heads": 2}],
)
def test_streaming_is_the_same_as_all_at_once(options, key):
    x = jax.random.normal(key, (2, 7, 6))
    padding = jnp.zeros((2, 7), bool).at[0, 3:].set(True).at[1].set(True)
    plain = HopfieldPooling(Hopfield(6, **options), quantity=2, chunk=None)
    streamed = plain.clone(chunk=3)
    variables = moved(plain.init(key, x, train=False), key)

    def both(layer):
        def loss(variables, x):
            out = layer.apply(variables, x, padding_mask=padding, train=False)
            return jnp.square(out).sum(), out

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(variables, x)

    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)  # noqa: E731
    jax.tree.map(close, both(plain), both(streamed))


def test_a_bag_of_300_000_instances_fits_into_a_gibibyte(key):
    layer = HopfieldPooling(Hopfield(128, heads=4))
    bag = jax.ShapeDtypeStruct((1, 300_000, 128), jnp.float32)
    variables = jax.eval_shape(partial(layer.init, train=False), key, bag)
    loss = lambda v, x: jnp.square(layer.apply(v, x, train=False)).sum()  # noqa: E731
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(variables, bag).compile()
    used = compiled.memory_analysis()
    assert used.temp_size_in_bytes + used.output_size_in_bytes <= 2**30


@pytest.mark.parametrize(("steps", "calls"), [(0, 1), (2, 0)])
def test_one_softmax_is_that_of_jax(steps, calls, key, monkeypatch):
    seen = []
    attention = jax.nn.dot_product_attention
    spy = lambda *a, **kw: seen.append(1) or attention(*a, **kw)  # noqa: E731
    monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
    Hopfield(6, heads=2, steps=steps).init(key, jnp.zeros((1, 3, 6)), train=False)
    assert len(seen) == calls


def test_learned_patterns_may_be_frozen(key):
    x = jax.random.normal(key, (2, 4, 6))
    layer = HopfieldLayer(Hopfield(6), quantity=3, separate_targets=True, trainable=False)
    variables = layer.init(key, x, train=False)
    loss = lambda v: jnp.square(layer.apply(v, x, train=False)).sum()  # noqa: E731
    gradients = jax.grad(loss)(moved(variables, key))["params"]
    assert np.abs(gradients["lookup_weights"]).max() == 0
    assert np.abs(gradients["target_weights"]).max() > 0


def test_a_decoder_reads_its_memory_and_no_padding_of_it(key):
    x, memory = jax.random.normal(key, (2, 3, 6)), jax.random.normal(key, (2, 5, 6))
    part = partial(Hopfield, 6, parent=None)
    layer = HopfieldDecoderLayer(part(), part(), feedforward=8)
    variables = moved(layer.init(key, x, memory, train=False), key)
    padding = jnp.zeros((2, 5), bool).at[:, 4].set(True)
    decode = lambda m: layer.apply(  # noqa: E731
        variables, x, m, memory_padding_mask=padding, train=False
    )
    np.testing.assert_array_equal(decode(memory), decode(memory.at[:, 4].add(1.0)))
    assert np.abs(decode(memory) - decode(memory.at[:, 3].multiply(-2.0))).max() > 1e-3


@pytest.mark.parametrize(
    "layer",
    [
        Hopfield(6, heads=2),
        Hopfield(6, sizes=Sizes(stored=5, projection=4, pattern=3), norms=Norms(space=Norm())),
        Hopfield(6, maps=Maps(static=("projection",))),
        HopfieldPooling(Hopfield(6), quantity=2),
        HopfieldLayer(Hopfield(6), quantity=2, separate_targets=True),
        HopfieldLayer(STATIC(6, norms=NO_NORMS._replace(projection=Norm())), quantity=2),
        HopfieldPooling(STATIC(6, norms=NO_NORMS._replace(state=Norm())), quantity=2),
        HopfieldEncoderLayer(Hopfield(6, maps=Maps(connected=True)), feedforward=8),
        HopfieldDecoderLayer(Hopfield(6), Hopfield(6, sizes=Sizes(stored=4, projection=4))),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_names_of_the_library_round_trip(layer, key):
    variables = layer.init(key, *(jnp.zeros(s.shape) for s in layer.example_inputs()), train=False)
    variables = moved(variables, key)
    tensors = checkpoints.export_weights(layer, variables, "hopfield-layers")
    found = checkpoints.import_weights(layer, tensors, "hopfield-layers")
    jax.tree.map(np.testing.assert_array_equal, found, dict(variables))
    tensors.popitem()
    with pytest.raises(zoo.UsageError, match="missing"):
        checkpoints.import_weights(layer, tensors, "hopfield-layers")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 4}, "`input_size` 6 is not divisible by `heads` 4; give `hidden_size`"),
        ({"input_size": None}, "`input_size` is needed"),
        ({"beta": (1.0, 2.0)}, "`beta` must be one number or 1"),
        ({"steps": -1}, "`steps` must be None or at least 0"),
        ({"heads": 0}, "`heads` must be at least 1"),
        ({"sizes": Sizes(output=0)}, "`sizes.output` must be at least 1"),
        ({"convergence": Convergence(epsilon=0.0)}, "`epsilon` must be positive"),
        ({"convergence": Convergence((1e-3, 1e-4))}, "`epsilon` must be one number or 1"),
        ({"convergence": Convergence(max_steps=0)}, "`max_steps` must be at least 1"),
        ({"convergence": Convergence(stop="never")}, "`stop` must be 'sample' or 'batch'"),
        ({"maps": Maps(static=("key",))}, "`static` takes"),
        (
            {"maps": Maps(connected=True), "sizes": Sizes(pattern=2)},
            "`connected` needs `sizes.pattern` equal to `hidden_size`",
        ),
        (
            {"maps": Maps(connected=True), "sizes": Sizes(stored=2)},
            "`connected` needs `sizes.stored` equal to `sizes.projection`",
        ),
        (
            {"sizes": Sizes(stored=4)},
            r"`stored` patterns must have the shape \(batch, patterns, 4\)",
        ),
        ({"dropout": 1.0}, "`dropout` must be"),
    ],
)
def test_options_that_do_not_fit_are_a_sentence(options, words, key):
    with pytest.raises(zoo.UsageError, match=words):
        Hopfield(**{"input_size": 6} | options).init(key, jnp.zeros((2, 3, 6)), train=False)


def test_masks_that_do_not_fit_are_a_sentence(key):
    layer, x = Hopfield(6), jnp.zeros((2, 3, 6))
    variables = layer.init(key, x, train=False)
    with pytest.raises(zoo.UsageError, match=r"`padding_mask` must be boolean of shape \(2, 3\)"):
        layer.apply(variables, x, padding_mask=jnp.zeros((2, 4), bool), train=False)
    with pytest.raises(zoo.UsageError, match=r"`association_mask` must have the shape \(3, 3\)"):
        layer.apply(variables, x, association_mask=jnp.zeros((3, 4), bool), train=False)
    with pytest.raises(zoo.UsageError, match="`patterns` must be rows as deep as `state`"):
        retrieve(x[0], jnp.zeros(5), 1.0)


def test_blank_squares_of_a_sheet_are_no_instances(key):
    sheet = jnp.zeros((1, 16, 16, 1)).at[0, 8:, :8].set(jax.random.normal(key, (8, 8, 1)))
    instances, blank = tiles(sheet)
    assert blank.tolist() == [[True, True, False, True]]
    np.testing.assert_array_equal(instances[0, 2], sheet[0, 8:, :8].ravel())
    with pytest.raises(zoo.UsageError, match="multiples of 8 pixels"):
        tiles(jnp.zeros((1, 12, 16, 1)))


def test_a_bag_is_a_set(key):
    model = zoo.create_model("hopfield_mil", widths=(8,), hidden_size=4)
    bags = jax.random.normal(key, (2, 5, 230))
    variables = moved(model.init(key, bags, train=False), key)
    logits = model.apply(variables, bags, train=False)
    np.testing.assert_allclose(
        model.apply(variables, bags[:, ::-1], train=False), logits, rtol=1e-4, atol=1e-4
    )


def test_a_bag_shows_the_attention_that_pools_it(key):
    sheets = jax.random.normal(key, (2, 16, 16, 1)).at[0, :8, :8].set(0)  # a blank one
    model = zoo.create_model("hopfield_mil_nano", widths=(8,), hidden_size=4, quantity=2)
    variables = moved(zoo.init_variables(model, key, sheets), key)
    missing = jnp.zeros((2, 4), bool).at[1, 3].set(True)
    attention = model.apply(variables, sheets, padding_mask=missing, method="associations")
    assert attention.shape == (2, 4, 2, 4)  # sheets, heads, pooled vectors, squares
    np.testing.assert_allclose(attention.sum(axis=-1), 1, rtol=1e-5)
    assert attention[0, :, :, 0].max() == attention[1, :, :, 3].max() == 0

    features = partial(model.apply, variables, padding_mask=missing, train=False, method="features")
    pyramid, pool = features(sheets), variables["params"]["pool"]["hopfield"]
    x = pyramid["instances"]
    norm = pool["norm_projection"]
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / jnp.sqrt(jnp.square(x).mean(axis=-1, keepdims=True) + 1e-5)
    x = x * norm["scale"][None, None] + norm["bias"][None, None]
    values = (x @ pool["value"]["kernel"] + pool["value"]["bias"][None, None]).reshape(2, 4, 4, -1)
    read = jnp.einsum("bhqn,bnhe->bqhe", attention, values).reshape(2, 2, -1)
    read = read @ pool["out"]["kernel"] + pool["out"]["bias"][None, None]
    expected = jax.nn.relu(read.reshape(2, -1))
    np.testing.assert_allclose(pyramid["pooled"], expected, rtol=1e-4, atol=1e-5)
