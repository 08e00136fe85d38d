"""Noise belongs to examples: not to a wrapper, a device, or how many there are."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import train
import zoo
from train.noise import placed, streams
from train.parallel import data_mesh
from zoo.layers.drop_path import DropPath
from zoo.layers.norm import BatchNorm

DRAWS = {
    "normal": lambda key, b: jax.random.normal(key, (b, 3)),
    "dropout mask": lambda key, b: jax.random.bernoulli(key, 0.5, (b, 1, 1)),
    "tokens before the batch is apart": lambda key, b: jax.random.normal(key, (b * 4, 2)),
    "half precision": lambda key, b: jax.random.uniform(key, (b, 2), jnp.bfloat16),
    "one per example": lambda key, b: jax.random.uniform(key, (b,)),
    "integers": lambda key, b: jax.random.randint(key, (b, 2), 0, 1000),
    "classes": lambda key, b: jax.random.categorical(key, jnp.zeros((b, 5))),
    "after a fold": lambda key, b: jax.random.normal(jax.random.fold_in(key, 7), (b,)),
    "after a split": lambda key, b: jax.random.normal(jax.random.split(key, 3)[2], (b,)),
    "of layers under vmap": lambda key, b: jax.vmap(
        lambda k: jax.random.normal(k, (b,)), out_axes=1
    )(jax.random.split(key, 3)),
    "shared": lambda key, b: jnp.broadcast_to(jax.random.normal(key), (b,)),
}


def draws(examples, axis_name=None):
    key = placed(jax.random.key(5), axis_name)
    return {name: draw(key, len(examples)) for name, draw in DRAWS.items()}


@pytest.fixture(scope="module")
def whole():
    return jax.jit(draws)(jnp.zeros(16))


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_draws_are_the_same_on_any_number_of_devices(devices, whole):
    mesh, spec = data_mesh(devices), P("data")
    for checked in (True, False):
        parts = jax.shard_map(
            lambda x: draws(x, "data"), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=checked
        )(jnp.zeros(16))
        for name, expected in whole.items():
            np.testing.assert_array_equal(parts[name], expected, err_msg=name)


def test_examples_draws_and_streams_differ(whole):
    for name, drawn in whole.items():
        distinct = len(np.unique(np.asarray(drawn, np.float64).reshape(16, -1), axis=0))
        assert distinct == (1 if name == "shared" else 2 if "mask" in name else distinct), name
    assert len(np.unique(whole["normal"])) == whole["normal"].size
    first = {name: int(jax.random.bits(key)) for name, key in streams(jax.random.key(0)).items()}
    assert first.keys() == {"dropout", "drop_path", "permutation", "noise"}
    assert len(set(first.values())) == 4


def test_draws_are_as_random_as_threefry():
    bits = jax.random.bits(placed(jax.random.key(0)), (512, 512), jnp.uint32)
    shares = [(np.asarray(bits) >> n & 1).mean() for n in range(32)]
    assert np.abs(np.array(shares) - 0.5).max() < 5 * 0.5 / 512
    z = np.asarray(jax.random.normal(placed(jax.random.key(1)), (512, 512)))
    assert abs(z.mean()) < 5 / 512
    assert abs(z.std() - 1) < 5 / 512
    neighbours = np.corrcoef(z[:-1].ravel(), z[1:].ravel())[0, 1]
    assert abs(neighbours) < 5 / 512


def test_keys_of_other_kinds_are_taken():
    for kind in ("rbg", "threefry2x32"):
        a, b = (jax.random.normal(placed(jax.random.key(n, impl=kind)), (3,)) for n in (0, 1))
        assert not np.array_equal(a, b)


class Noisy(nn.Module):
    """A network of one's own: no row in the catalogue, norms below other modules, all streams."""

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Conv(6, (3, 3), name="conv")(images)
        x = nn.Sequential([BatchNorm(train=train), nn.relu])(x)
        if train:
            x = x + 0.1 * jax.random.normal(self.make_rng("noise"), x.shape)
            order = jax.random.permutation(self.make_rng("permutation"), x.shape[1])
            x = x[:, order] + x
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = x + DropPath(0.5, train)(x)
        return nn.Dense(10, name="head")(x.mean((1, 2)))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_network_of_ones_own_learns_the_same_on_any_devices(groups, key):
    rng = np.random.default_rng(0)
    batch = {
        "input": rng.normal(size=(8, 8, 8, 1)).astype(np.float32)
        * np.arange(1, 9, dtype=np.float32)[:, None, None, None],
        "label": rng.integers(0, 10, 8).astype(np.int32),
    }
    model, optimizer = Noisy(), optax.sgd(0.1)
    variables = model.init(key, batch["input"], train=False)
    results = {}
    for how, devices in ("jit", 1), ("jit", 2), ("pmap", 2), ("shard_map", 2), ("shard_map", 1):
        axis_name = None if how == "jit" else "data"
        step = train.make_train_step(
            model, optimizer, axis_name=axis_name, batch_norm_groups=groups
        )
        step = train.parallelize(step, how, mesh=data_mesh(devices))
        state = train.create_state(variables, optimizer, key=jax.random.key(1))
        for _ in range(3):
            state, metrics = step(state, batch, state.key)
        results[how, devices] = jax.tree.map(np.asarray, (train.published(state), metrics))
        if how == "shard_map":
            shards = state.batch_stats["BatchNorm_0"]["mean"].addressable_shards
            assert len({np.asarray(s.data).tobytes() for s in shards}) == 1
    expected = jax.tree.leaves(results.pop(("jit", 1)))
    for which, found in results.items():
        for a, b in zip(jax.tree.leaves(found), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=str(which))


def test_flax_batch_norm_over_devices_is_refused(key):
    class Other(nn.Module):
        axis: str | None = None

        @nn.compact
        def __call__(self, images, *, train):
            x = nn.BatchNorm(use_running_average=not train, axis_name=self.axis, name="bn")(images)
            return nn.Dense(2)(x.mean((1, 2)))

    images, labels = jnp.ones((8, 2, 2, 1)), jnp.zeros(8, jnp.int32)
    variables = Other().init(key, images, train=False)
    for axis in (None, "data"):
        step = train.make_train_step(Other(axis), optax.sgd(0.1), axis_name="data")
        step = train.parallelize(step, "shard_map", mesh=data_mesh(2))
        state = train.create_state(variables, optax.sgd(0.1), key=key)
        run = lambda: step(state, {"input": images, "label": labels}, key)  # noqa: B023, E731
        if axis:
            run()
        else:
            with pytest.raises(zoo.UsageError, match="bn is Flax's BatchNorm with axis_name=None"):
                run()
