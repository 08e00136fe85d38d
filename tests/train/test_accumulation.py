"""Gradients in slices are those of the batch, noise and running statistics included."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import train
import zoo
from train.parallel import data_mesh
from zoo.layers.norm import BatchNorm


class Small(nn.Module):
    """Convolution, norm and noise, as `norm` says which."""

    batch_norm: bool = False

    @nn.compact
    def __call__(self, images, *, train):
        x = zoo.layers.conv.Conv(4, (3, 3), dtype=images.dtype, name="conv")(images)
        norm = (
            BatchNorm(train=train, name="norm") if self.batch_norm else nn.GroupNorm(2, name="norm")
        )
        x = nn.Dropout(0.2, deterministic=not train)(nn.relu(norm(x)))
        x = zoo.layers.drop_path.DropPath(0.3, train)(x)
        return nn.Dense(3, name="head")(x.mean((1, 2)))


def batch_of(size, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(size, 5, 5, 1)), dtype)
    return {"input": images, "label": jnp.arange(size, dtype=jnp.int32) % 3}


def trained(steps, accumulate, how="jit", devices=1, dtype=jnp.float32, **fields):
    """The state after some steps, and the losses."""
    model, optimizer = Small(**fields), optax.adam(0.01)
    batch = batch_of(24, dtype)
    variables = model.init(jax.random.key(0), batch["input"][:1], train=False)
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype), variables)
    state = train.create_state(variables, optimizer, key=jax.random.key(1), average=0.9)
    axis = None if how == "jit" else "data"
    step = train.make_train_step(model, optimizer, accumulate=accumulate, axis_name=axis)
    step = train.parallelize(step, how, mesh=data_mesh(devices))
    curve = []
    for _ in range(steps):
        state, metrics = step(state, batch, state.key)
        curve.append(float(metrics["loss"]))
    return state, curve


@pytest.mark.parametrize("accumulate", [2, 6])
def test_slices_are_the_whole_batch_to_the_last_digits(accumulate):
    """Twenty steps in float64 without batch norms, dropout and drop path included: to 1e-6."""
    with jax.enable_x64(True):
        whole, expected = trained(20, 1, dtype=jnp.float64)
        state, found = trained(20, accumulate, dtype=jnp.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    for a, b in zip(*(jax.tree.leaves(s.average) for s in (state, whole)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    assert int(state.step) == 20


@pytest.mark.parametrize(("how", "devices"), [("jit", 4), ("pmap", 2), ("shard_map", 4)])
def test_slices_are_the_same_on_any_devices(how, devices):
    whole, expected = trained(3, 3, batch_norm=True)
    state, found = trained(3, 3, how, devices, batch_norm=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for a, b in zip(*(jax.tree.leaves(s.batch_stats) for s in (state, whole)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_running_statistics_see_every_slice():
    """Momentum 0.9 once for each slice, of its own mean."""
    state, _ = trained(1, 2, batch_norm=True)
    model = Small(batch_norm=True)
    batch = batch_of(24)
    variables = model.init(jax.random.key(0), batch["input"][:1], train=False)
    for n in range(2):
        _, after = model.apply(
            variables,
            batch["input"][n::2],
            train=True,
            mutable=["batch_stats"],
            rngs={name: jax.random.key(0) for name in ("dropout", "drop_path")},
        )
        variables = variables | after
    for a, b in zip(
        *(jax.tree.leaves(t) for t in (state.batch_stats, variables["batch_stats"])), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_batch_that_cannot_be_split_is_a_sentence():
    with pytest.raises(zoo.UsageError, match=r"`accumulate` must divide .* 5 does not divide 24"):
        trained(1, 5)
    config = train.Config(model="resnet8", dataset="zoo_digits", accumulate=3)
    with pytest.raises(zoo.UsageError, match="24 parts of 8 devices and 3 `accumulate`, got 64"):
        train.plan(config)
