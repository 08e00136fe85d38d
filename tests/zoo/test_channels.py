"""Channels that are cut: what is left answers as the network in which they are zero."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.cost import count_macs
from zoo.efficientnet import Stage
from zoo.errors import UsageError
from zoo.explain.filters import CRITERIA, relevance_of_filters, worth_of_filters
from zoo.explain.geometry import change_of_geometry, geometry
from zoo.layers.conv import Conv
from zoo.layers.dense import Dense
from zoo.layers.network import Network
from zoo.parameters import lowrank, sparse, stored
from zoo.parameters.channels import channels
from zoo.parameters.interception import changed

LABELS = jnp.array([0, 1, 2, 0, 1])


class Chain(Network):
    """Linear layers with ReLUs and no biases."""

    input_axes = (2,)
    depth: int = 2

    @nn.compact
    def __call__(self, x, *, train):
        for i in range(self.depth):
            x = nn.relu(Dense(12, use_bias=False, name=f"hidden{i}")(x))
        return Dense(3, use_bias=False, name="head")(x)


class Knots(Network):
    """What ties channels, sums, products, groups and flattening, and what holds them."""

    @nn.compact
    def __call__(self, x, *, train):
        conv = partial(Conv, kernel_size=(3, 3))
        x = nn.silu(conv(6, name="one", use_bias=True)(x))
        x = jnp.concatenate([x, conv(4, name="two")(x)], axis=-1)
        gate = conv(10, name="three")(x)
        x = nn.sigmoid(gate) * x + conv(10, groups=2, name="grouped")(x)
        x = nn.LayerNorm(name="norm")(Conv(8, (1, 1), name="mixed")(x))
        x = nn.relu(Conv(5, (1, 1), name="five")(x))
        return Dense(3, name="head")(x.reshape(len(x), -1))


def made(model, shape, batch=5):
    inputs = jax.random.normal(jax.random.key(1), (batch, *shape))
    is_ours = type(model).__module__.startswith("zoo.")
    draw = partial(zoo.init_variables, model) if is_ours else partial(model.init, train=False)
    variables = draw(jax.random.key(0), inputs)
    rng = np.random.default_rng(0)  # norms whose scale is zero would hide what is cut
    more = [rng.uniform(0, 0.3, leaf.shape) for leaf in jax.tree.leaves(variables)]
    more = jax.tree.unflatten(jax.tree.structure(variables), more)
    return inputs, jax.tree.map(lambda leaf, m: leaf + jnp.asarray(m, leaf.dtype), variables, more)


STAGES = (Stage(1, 3, 16, 1, 1), Stage(4, 3, 24, 2, 1))
NETWORKS = {
    "sums": (zoo.create_model("resnet8", stage_sizes=(1, 1), width=8), (6, 6, 1)),
    "projections": (zoo.create_model("resnet18", stage_sizes=(1, 1), width=8), (16, 16, 3)),
    "depthwise": (
        zoo.create_model("efficientnet_b0", stages=STAGES, width=0.5, num_classes=3),
        (8, 8, 3),
    ),
    "knots": (Knots(), (4, 4, 2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_left_answers_as_the_network_in_which_the_rest_is_zero(name):
    model, shape = NETWORKS[name]
    inputs, variables = made(model, shape, 2)
    found = channels(model, variables, inputs)
    kept = np.random.default_rng(1).uniform(size=found.size) < 0.6
    kept |= found.rank == 0
    small, less = changed(model, found.widths(kept)), found.cut(variables, kept)
    masked = jax.jit(partial(model.apply, train=False))(found.masked(variables, kept), inputs)
    given = jax.jit(partial(small.apply, train=False))(less, inputs)
    np.testing.assert_allclose(given, masked, atol=1e-6 * np.abs(masked).max())
    assert np.abs(masked).max() > 1e-3
    numbers = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert found.numbers(kept) == numbers(less) < numbers(variables)
    assert count_macs(small, shape) < count_macs(model, shape)


def test_channels_that_are_added_are_one_and_a_padded_one_begins_with_them():
    model, shape = NETWORKS["sums"]
    found = channels(model, *reversed(made(model, shape)))
    same = [found.outputs[path] for path in ("stem/conv", "stage1_block0/conv2")]
    np.testing.assert_array_equal(*same)
    wider = found.outputs["stage2_block0/conv2"]
    np.testing.assert_array_equal(wider[:8], same[0])
    assert len(set(found.group)) == 4  # two inner widths, the stem's, and what is padded
    assert (found.outputs["head"] == -1).all()


def test_what_looks_at_all_channels_or_splits_them_holds_them():
    model, shape = NETWORKS["knots"]
    found = channels(model, *reversed(made(model, shape)))
    assert (found.outputs["mixed"] == -1).all()  # a layer norm looks at all
    assert (found.outputs["five"] >= 0).all()
    halves = np.split(found.outputs["grouped"], 2)
    np.testing.assert_array_equal(*halves)
    lstm = zoo.create_model("lnlstm_nano", width=4)
    series = jax.ShapeDtypeStruct((1, 5, 1), jnp.float32)
    shapes = jax.eval_shape(partial(lstm.init, train=False), jax.random.key(0), series)
    found = channels(lstm, shapes, series)
    assert (found.outputs["encoder"] >= 0).all()
    assert (found.outputs["block0/input"] == -1).all()  # gates are parts of its outputs
    with pytest.raises(UsageError, match="no channels"):
        channels(Chain(depth=0), *reversed(made(Chain(depth=0), (7,))))


def test_relevance_of_every_layer_sums_to_the_logit():
    inputs, variables = made(Chain(), (7,))
    found = relevance_of_filters(Chain(), variables, inputs, LABELS)
    logits = Chain().apply(variables, inputs, train=False)
    wanted = jnp.take_along_axis(logits, LABELS[:, None], axis=1)[:, 0]
    assert found.keys() == {"hidden0", "hidden1", "head"}
    for relevance in found.values():
        np.testing.assert_allclose(relevance.sum(1), wanted, atol=1e-5 * np.abs(logits).max())


def test_criteria_judge_filters_by_what_they_say():
    inputs, variables = made(Chain(), (7,))
    variables["params"]["hidden1"]["kernel"] = (
        variables["params"]["hidden1"]["kernel"].at[:, 3].set(0)
    )
    variables["params"]["head"]["kernel"] = variables["params"]["head"]["kernel"].at[5].set(0)
    judged = {c: worth_of_filters(c, Chain(), variables, inputs, LABELS) for c in CRITERIA}
    for name, worth in judged.items():
        assert {path: len(w) for path, w in worth.items()} == {
            "hidden0": 12,
            "hidden1": 12,
            "head": 3,
        }
        is_zero = np.flatnonzero(np.asarray(worth["hidden1"]) < 1e-6).tolist()
        expected = {"random": [], "magnitude": [3], "gradient": [5]}
        assert set(expected.get(name, [3, 5])) <= set(is_zero), name
    with pytest.raises(UsageError, match="did you mean 'taylor'"):
        worth_of_filters("tailor", Chain(), variables, inputs, LABELS)


def test_taylor_is_the_first_order_of_leaving_a_filter_out():
    inputs, variables = made(Chain(), (7,))
    worth = worth_of_filters("taylor", Chain(), variables, inputs[:1], LABELS[:1])["hidden0"]

    def loss(scale):
        kernel = variables["params"]["hidden0"]["kernel"].at[:, 2].multiply(scale)
        other = {"params": {**variables["params"], "hidden0": {"kernel": kernel}}}
        return -jax.nn.log_softmax(Chain().apply(other, inputs[:1], train=False))[0, LABELS[0]]

    np.testing.assert_allclose(worth[2], abs(jax.grad(loss)(1.0)), rtol=1e-4)


def test_lengths_and_angles_make_the_logits():
    model = zoo.create_model("resnet8", stage_sizes=(1,), width=8, num_classes=3)
    inputs, variables = made(model, (6, 6, 1))
    before = geometry(model, variables, inputs)
    logits = model.apply(variables, inputs, train=False)
    np.testing.assert_allclose(before.logits, logits, atol=1e-6 * np.abs(logits).max())
    shrunk = before._replace(features=before.features / 2, biases=before.biases * 0)
    change = change_of_geometry(before._replace(biases=before.biases * 0), shrunk, LABELS)
    np.testing.assert_allclose(change["length"], [-0.5] * 3, rtol=1e-5)
    np.testing.assert_allclose(change["angle"], [0] * 3, atol=1e-3)
    margins = [
        before._replace(biases=before.biases * 0).margins(LABELS)[k == LABELS].mean()
        for k in range(3)
    ]
    np.testing.assert_allclose(change["margin"], -0.5 * np.array(margins), rtol=1e-4)


def test_recurrent_kernels_keep_their_largest_numbers():
    lstm = zoo.create_model("lnlstm_nano", width=8)
    variables = zoo.init_variables(lstm, jax.random.key(0), jnp.zeros((1, 5, 1)))
    parameters = sparse.sparse("step/hidden/kernel$", share=0.75)
    trained, kept = parameters.split(variables["params"])
    joined = parameters.join(trained, kept)
    before = variables["params"]["block0"]["step"]["hidden"]["kernel"]
    after = joined["block0"]["step"]["hidden"]["kernel"]
    assert int((after == 0).sum()) == 0.75 * before.size
    smallest = np.abs(after[after != 0]).min()
    assert np.abs(np.where(after == 0, before, 0)).max() <= smallest
    np.testing.assert_array_equal(
        joined["encoder"]["kernel"], variables["params"]["encoder"]["kernel"]
    )
    slope = jax.grad(
        lambda t: parameters.join(t, kept)["block0"]["step"]["hidden"]["kernel"].sum()
    )(trained)
    np.testing.assert_array_equal(slope["block0"]["step"]["hidden"]["kernel"], after != 0)
    packed = stored.packed(joined, parameters.stored_as)
    kernel = packed["block0"]["step"]["hidden"]["kernel"]
    assert stored.size(kernel) == before.size / 4 * 4 + before.size / 8
    found = stored.unpacked(packed, jax.eval_shape(lambda: joined), parameters.stored_as)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, joined))
    with pytest.raises(UsageError, match="`share`"):
        sparse.sparse(share=1.0)


@pytest.mark.parametrize("name", ["chain", "sums"])
def test_two_thin_maps_are_the_kernel_where_their_rank_is_whole(name):
    model, shape = (Chain(), (7,)) if name == "chain" else NETWORKS["sums"]
    inputs, variables = made(model, shape)
    layers = {"chain": {"hidden0", "hidden1"}, "sums": {"stage1_block0/conv1", "head"}}[name]
    ranks = lowrank.whole_ranks(variables["params"], layers)
    thin = changed(model, {path: {"rank": rank} for path, rank in ranks.items()})
    params = lowrank.factored(variables["params"], ranks)
    given = thin.apply({**variables, "params": params}, inputs, train=False)
    wanted = model.apply(variables, inputs, train=False)
    np.testing.assert_allclose(given, wanted, atol=1e-5 * np.abs(wanted).max())
    plain = {p: kernel_of(variables["params"], p) for p in ranks}
    two = dict.fromkeys(ranks, 2)
    masked = thin.apply(
        {**variables, "params": lowrank.truncated(params, two)}, inputs, train=False
    )
    cut, left = lowrank.cut(params, two, plain)
    smaller = changed(model, {path: {"rank": rank} for path, rank in left.items()})
    short = smaller.apply({**variables, "params": cut}, inputs, train=False)
    np.testing.assert_allclose(short, masked, atol=1e-6 * np.abs(masked).max())
    assert count_macs(smaller, shape) < count_macs(model, shape)
    count = sum(leaf.size for leaf in jax.tree.leaves(cut))
    before = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == before - lowrank.numbers(ranks, plain) + lowrank.numbers(two, plain) < before


def kernel_of(params, path):
    for word in path.split("/"):
        params = params[word]
    return params["kernel"]
