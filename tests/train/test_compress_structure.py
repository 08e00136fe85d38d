"""Networks with less structure: they are smaller, load, and answer as what they come from."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import train
import zoo
from checkpoints import Card, Preprocess
from train.compress import lowrank as of_lowrank
from train.compress.method import Training
from train.compress.narrow import channels_of, with_statistics, without
from train.compress.prune import remaining
from zoo.cost import count_macs
from zoo.errors import UsageError
from zoo.explain.filters import worth_of_filters
from zoo.parameters import lowrank


@pytest.fixture(scope="module")
def digits():
    return checkpoints.load("resnet8.digits"), train.load_dataset("zoo_digits", "train[:64]")


METHODS = {
    "prune": "prune:criterion=relevance,examples=8",
    "nested": "nested:widths=4",
    "lowrank": "lowrank:lasso=0.001",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_less_structure_is_fewer_bytes_and_multiply_adds_and_loads(name, digits, tmp_path):
    loaded, data = digits
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(loaded.variables))
    options = {"method": METHODS[name], "budget": whole // 2, "epochs": 2.0, "batch_size": 32}
    small = train.compress(loaded, data, **options)
    after, before = small.card.source["after"], small.card.source["before"]
    assert (
        after["bytes"]
        == sum(leaf.nbytes for leaf in jax.tree.leaves(small.variables))
        <= whole // 2
    )
    assert after["macs"] < 0.8 * before["macs"]
    checkpoints.save(tmp_path / "small", small.variables, small.card)
    again = checkpoints.load(tmp_path / "small")
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 1)), jnp.float32)
    answers = [one.model.apply(one.variables, images, train=False) for one in (small, again)]
    np.testing.assert_array_equal(*answers)
    assert np.isfinite(answers[0]).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_budget_below_the_smallest_names_it(name, digits):
    with pytest.raises(UsageError, match=r"smallest that it can make of this network has [\d,]+"):
        train.compress(*digits, method=name, budget=100)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("prune:criterion=tailor", "did you mean 'taylor'"),
        ("prune:examples=0", "`examples`"),
        ("prune:share=0", "`share`"),
        ("nested:share=2", "`share`"),
        ("nested:widths=0", "`widths`"),
        ("lowrank:lasso=-1", "`lasso`"),
        ("lowrank:patterns=conv9", "no parameter has a path with 'conv9'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(method, message, digits):
    with pytest.raises(UsageError, match=message):
        train.compress(*digits, method=method)


def test_batch_statistics_are_those_of_the_data(digits):
    loaded, data = digits
    training = Training(data, loaded.preprocess, batch_size=64)
    found = with_statistics(loaded, training).variables["batch_stats"]["stem"]["norm"]
    images = jnp.stack([loaded.preprocess(data[i]["input"]) for i in range(64)])
    kernel = loaded.variables["params"]["stem"]["conv"]["kernel"]
    y = jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(found["mean"], y.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found["var"], y.reshape(-1, 16).var(0, ddof=1), rtol=1e-4)


def test_columns_of_a_linear_map_become_its_singular_vectors_in_order():
    """By plain descent on isotropic inputs, as the theory has it."""
    key = jax.random.split(jax.random.key(0), 3)
    u, v = (jnp.linalg.qr(jax.random.normal(k, (4, 4)))[0] for k in key[:2])
    truth = u @ jnp.diag(jnp.array([4.0, 3.0, 2.0, 1.0])) @ v.T
    start = 0.3 * jax.random.normal(key[2], (4, 4))
    params = lowrank.factored({"map": {"kernel": start}}, {"map": 4})

    def loss(params):  # every rank at once is what chance comes to
        cut = [lowrank.truncated(params, {"map": b})["map"] for b in range(1, 5)]
        return sum(jnp.square(c["down"]["kernel"] @ c["up"]["kernel"] - truth).sum() for c in cut)

    def update(params, _):
        return jax.tree.map(lambda p, g: p - 0.004 * g, params, jax.grad(loss)(params)), None

    params, _ = jax.jit(lambda p: jax.lax.scan(update, p, length=4000))(params)
    down, up = params["map"]["down"]["kernel"], params["map"]["up"]["kernel"]
    for found, wanted in (
        (down / jnp.linalg.norm(down, axis=0)[None], u),
        ((up.T / jnp.linalg.norm(up, axis=1)[None]), v),
    ):
        cosines = jnp.abs((found * wanted).sum(0))
        assert jnp.degrees(jnp.arccos(jnp.clip(cosines, 0, 1))).max() < 1, cosines


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0.pip_in1k", "resnet18"])
def test_networks_of_the_size_that_people_use_lose_half(name):
    """Counts, bytes, multiply-adds and a forward pass; by size of weights, nothing trained."""
    loaded = large(name)
    found, inputs = channels_of(loaded), jnp.zeros((1, *loaded.preprocess.shape))
    worth = worth_of_filters("magnitude", loaded.model, loaded.variables, inputs, jnp.zeros(1, int))
    whole = found.numbers(np.ones(found.size, bool))
    kept = remaining(found, lambda kept: worth, lambda kept: found.numbers(kept) <= whole / 2)
    ranks = lowrank.whole_ranks(loaded.variables["params"], of_lowrank.layers(loaded))
    half = {path: max(1, rank // 4) for path, rank in ranks.items()}
    params = lowrank.factored(loaded.variables["params"], half)
    for small in (without(loaded, found, kept), of_lowrank.as_two(loaded, half, params)):
        leaves = jax.tree.leaves(small.variables)
        assert sum(leaf.size for leaf in leaves) < 0.55 * whole
        shape = loaded.preprocess.shape
        macs = [count_macs(n.model, shape, variables=n.variables) for n in (loaded, small)]
        assert macs[1] < 0.9 * macs[0]
        logits = jax.jit(partial(small.model.apply, train=False))(small.variables, inputs)
        assert logits.shape == (1, 1000)
        assert np.isfinite(logits).all()
        assert small.card.parameters == sum(
            p.size for p in jax.tree.leaves(small.variables["params"])
        )


def large(name):
    if "." in name:
        return checkpoints.load(name, image_size=32)
    model, card = zoo.create_model(name), Card(name, name, preprocess=Preprocess(image_size=32))
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(0), images)
    card = dataclasses.replace(card, num_classes=1000)
    return checkpoints.Pretrained(model, variables, card.preprocess, card, ())
