"""The layer-normalised LSTM: both carries, parts of a sequence, lengths, batches of one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from zoo.layers.recurrent import LayerNormLSTM, LSTMState

CARRIES = ("raw", "normalised")
SMALL = {"width": 6, "depth": 2, "num_classes": 3}


@pytest.fixture
def sequences(key):
    return jax.random.normal(key, (3, 7, 4))


def made(carry, sequences, key):
    """A layer, and variables whose norms are not what they begin as."""
    layer = LayerNormLSTM(5, carry)
    noise = lambda x: x + 0.3 * jax.random.normal(key, x.shape)  # noqa: E731
    return layer, jax.tree.map(noise, layer.init(key, sequences, train=False))


def equations(layer, params, sequences):
    """The paper's equations, step by step in NumPy."""
    params = jax.tree.map(np.asarray, params)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731

    def norm(x, leaves):
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred / spread * leaves["scale"] + leaves["bias"]

    cell = hidden = np.zeros((len(sequences), layer.features))
    outputs, step = [], params["step"]
    for x in np.asarray(sequences).swapaxes(0, 1):
        gates = norm(x @ params["input"]["kernel"], params["input_norm"])
        gates = gates + norm(hidden @ step["hidden"]["kernel"], step["hidden_norm"])
        take, keep, new, give = np.split(gates, 4, axis=-1)
        cell = sigmoid(keep) * cell + sigmoid(take) * np.tanh(new)
        normalised = norm(cell, step["cell_norm"])
        hidden = sigmoid(give) * np.tanh(normalised)
        cell = normalised if layer.carry == "normalised" else cell
        outputs.append(hidden)
    return np.stack(outputs, axis=1), cell


@pytest.mark.parametrize("carry", CARRIES)
def test_a_layer_computes_the_equations(carry, sequences, key):
    layer, variables = made(carry, sequences, key)
    state, output = layer.apply(variables, sequences, train=False)
    expected, cell = equations(layer, variables["params"], sequences)
    np.testing.assert_allclose(output, expected, atol=1e-5)
    np.testing.assert_allclose(state.cell, cell, atol=1e-5)
    np.testing.assert_array_equal(state.hidden, output[:, -1])


def test_both_carries_agree_at_the_first_step_and_not_after_it(sequences, key):
    _, variables = made("raw", sequences, key)
    raw, normalised = (
        LayerNormLSTM(5, carry).apply(variables, sequences, train=False)[1] for carry in CARRIES
    )
    np.testing.assert_array_equal(raw[:, 0], normalised[:, 0])
    assert np.abs(raw[:, 1:] - normalised[:, 1:]).max(axis=(0, 2)).min() > 1e-3


@pytest.mark.parametrize("carry", CARRIES)
def test_a_sequence_in_parts_is_the_whole_one(carry, sequences, key):
    layer, variables = made(carry, sequences, key)
    run = partial(layer.apply, variables, train=False)
    state, whole = run(sequences)
    middle, first = run(sequences[:, :3])
    last, second = run(sequences[:, 3:], middle)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, atol=1e-6)
    np.testing.assert_allclose(last.cell, state.cell, atol=1e-6)


def test_what_fills_a_sequence_up_does_not_matter(sequences, key):
    for pool in ("mean", "last"):
        model = zoo.create_model("lnlstm_nano", **SMALL, pool=pool)
        variables = zoo.init_variables(model, key, sequences)
        lengths = jnp.array([2, 7, 5])
        together = model.apply(variables, sequences, lengths=lengths, train=False)
        for i, length in enumerate(lengths.tolist()):
            alone = model.apply(variables, sequences[i : i + 1, :length], train=False)
            np.testing.assert_allclose(together[i], alone[0], atol=1e-5)


def test_a_batch_of_one_trains_as_it_is_evaluated(sequences, key):
    model = zoo.create_model("lnlstm_nano", **SMALL)
    variables = zoo.init_variables(model, key, sequences)
    assert set(variables) == {"params"}
    run = partial(model.apply, variables, sequences[:1])
    np.testing.assert_array_equal(run(train=True), run(train=False))


def test_dropout_changes_training_only_and_not_what_is_carried_on(sequences, key):
    layer, variables = made("raw", sequences, key)
    dropping = layer.clone(dropout=0.5)
    state, output = layer.apply(variables, sequences, train=False)
    rngs = {"dropout": jax.random.key(2)}
    after, dropped = dropping.apply(variables, sequences, train=True, rngs=rngs)
    np.testing.assert_array_equal(after.hidden, state.hidden)
    assert 0.2 < float((dropped == 0).mean()) < 0.8
    evaluated = dropping.apply(variables, sequences, train=False)[1]
    np.testing.assert_array_equal(evaluated, output)


def test_in_bfloat16_the_cell_stays_float32(sequences, key):
    layer, variables = made("raw", sequences, key)
    with jax.numpy_dtype_promotion("standard"):
        rough = layer.clone(dtype=jnp.bfloat16)
        state, output = rough.apply(variables, sequences.astype(jnp.bfloat16), train=False)
    assert (state.cell.dtype, output.dtype) == (jnp.float32, jnp.bfloat16)
    exact = layer.apply(variables, sequences, train=False)[1]
    np.testing.assert_allclose(output.astype(jnp.float32), exact, atol=0.05)


def test_pytorchs_names_go_both_ways(sequences, key):
    layer, variables = made("normalised", sequences, key)
    tensors = checkpoints.export_weights(layer, variables, "pytorch")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    norms = [f"layernorm_{part}.{leaf}" for part in "ihc" for leaf in ("weight", "bias")]
    assert list(shapes) == ["weight_ih", "weight_hh", *norms]
    assert (shapes["weight_ih"], shapes["weight_hh"]) == ((20, 4), (20, 5))
    back = checkpoints.import_weights(layer, tensors, "pytorch")
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_layers_of_a_network_have_the_benchmarks_names(sequences, key):
    model = zoo.create_model("lnlstm_nano", **SMALL)
    variables = zoo.init_variables(model, key, sequences)
    tensors = checkpoints.export_weights(model, variables, "pytorch")
    assert list(tensors)[:4] == [
        *("encoder.weight", "encoder.bias", "layers.0.cell.weight_ih", "layers.0.cell.weight_hh")
    ]
    back = checkpoints.import_weights(model, tensors, "pytorch")
    jax.tree.map(np.testing.assert_array_equal, back, dict(variables))


def test_a_state_begins_with_zeros():
    state = LayerNormLSTM(5, dtype=jnp.bfloat16).begin(2)
    assert state._fields == LSTMState._fields
    assert not any(leaf.any() for leaf in state)
    assert (state.cell.dtype, state.hidden.dtype) == (jnp.float32, jnp.bfloat16)


@pytest.mark.parametrize(
    ("fields", "words"), [({"pool": "max"}, "`pool` must be one of"), ({"depth": 0}, "at least 1")]
)
def test_what_cannot_be_is_refused(fields, words, key, sequences):
    model = zoo.create_model("lnlstm_nano", **SMALL | fields)
    with pytest.raises(zoo.UsageError, match=words):
        model.init(key, sequences, train=False)
