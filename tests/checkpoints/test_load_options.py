"""What `checkpoints.load` changes for the asking: size of the images, place, step of a run."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

import checkpoints
import zoo
from checkpoints import Card, Preprocess, store, surgery
from checkpoints.retention import Retention
from zoo.errors import UsageError


def keys(x):
    """The cubic kernel of Keys with a = -1/2."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def bicubic(old, new):
    """Weights (new, old) of antialiased interpolation along one axis."""
    scale = old / new
    width = max(scale, 1.0)
    centres = [(i + 0.5) * scale - 0.5 for i in range(new)]
    rows = np.array([[keys((j - c) / width) for j in range(old)] for c in centres])
    return rows / rows.sum(1, keepdims=True)


def saved(directory, architecture, size, classes=10):
    model = zoo.create_model(architecture)
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(5), image)
    card = Card(
        name="x",
        architecture=architecture,
        num_classes=classes,
        preprocess=Preprocess(size),
    )
    return checkpoints.save(directory, variables, card), variables["params"]


@pytest.fixture(scope="module")
def tnt(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("tnt") / "x", "tnt_nano", 32)


@pytest.mark.parametrize("size", [16, 48])
def test_tokens_are_interpolated_but_for_the_class_token(tnt, size):
    directory, params = tnt
    loaded = checkpoints.load(directory, image_size=size)
    assert loaded.fresh == ()
    assert loaded.model.image_size == loaded.preprocess.image_size == size
    found = np.asarray(loaded.variables["params"]["patch_positions"])
    table = np.asarray(params["patch_positions"], np.float64)
    weights, new = bicubic(8, size // 4), size // 4
    grid = np.einsum("ai,bj,ijc->abc", weights, weights, table[0, 1:].reshape(8, 8, -1))
    np.testing.assert_array_equal(found[:, :1], params["patch_positions"][:, :1])
    np.testing.assert_allclose(found[0, 1:], grid.reshape(new * new, -1), atol=1e-6)
    for name in ("class_token", "pixel_positions"):
        np.testing.assert_array_equal(loaded.variables["params"][name], params[name])
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    apply = partial(loaded.model.apply, train=False)
    assert jax.eval_shape(apply, loaded.variables, images).shape == (1, 10)


def test_the_same_size_changes_nothing(tnt):
    directory, params = tnt
    loaded = checkpoints.load(directory, image_size=32)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables["params"], dict(params))
    assert loaded.card == checkpoints.load(directory).card


def test_maps_are_interpolated(tmp_path):
    directory, params = saved(tmp_path / "x", "sret_nano", 32)
    loaded = checkpoints.load(directory, image_size=64)
    table = np.asarray(params["positions"], np.float64)[0]
    weights = bicubic(table.shape[0], 2 * table.shape[0])
    found = loaded.variables["params"]["positions"]
    expected = np.einsum("ai,bj,ijc->abc", weights, weights, table)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5, 7, 2), (1, 3, 3, 2), (1, 14, 14, 2)])
def test_what_is_constant_stays_so(shape):
    table = jnp.full((1, 7, 7, 2), 0.25)
    np.testing.assert_allclose(surgery.resize_positions(table, shape), 0.25, rtol=1e-6)


def test_positions_on_no_square_grid():
    with pytest.raises(UsageError, match="6 positions are no square grid"):
        surgery.resize_positions(jnp.zeros((1, 7, 2)), (1, 10, 2))


def test_networks_of_any_size_only_see_other_images(tmp_path):
    directory, params = saved(tmp_path / "x", "resnet8", 32)
    loaded = checkpoints.load(directory, image_size=48)
    assert loaded.preprocess.image_size == 48
    jax.tree.map(np.testing.assert_array_equal, loaded.variables["params"], dict(params))


def test_variables_go_where_they_are_wanted(tnt):
    directory, params = tnt
    mesh = jax.make_mesh((8,), ("data",), (jax.sharding.AxisType.Auto,))
    everywhere = checkpoints.load(directory, sharding=NamedSharding(mesh, PartitionSpec()))
    for leaf in jax.tree.leaves(everywhere.variables):
        assert leaf.devices() == set(jax.devices())
    jax.tree.map(np.testing.assert_array_equal, everywhere.variables["params"], dict(params))
    one = checkpoints.load(directory, sharding=SingleDeviceSharding(jax.devices()[3]))
    assert all(x.devices() == {jax.devices()[3]} for x in jax.tree.leaves(one.variables))


def test_the_leaves_may_be_cut(tnt):
    directory, params = tnt
    mesh = jax.make_mesh((8,), ("model",), (jax.sharding.AxisType.Auto,))
    tree = jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), {"params": dict(params)})
    tree["params"]["head"]["kernel"] = NamedSharding(mesh, PartitionSpec("model"))
    kernel = checkpoints.load(directory, sharding=tree).variables["params"]["head"]["kernel"]
    assert [shard.data.shape for shard in kernel.addressable_shards] == [(8, 10)] * 8
    np.testing.assert_array_equal(kernel, params["head"]["kernel"])


def test_a_step_of_a_run(tmp_path, card):
    model = zoo.create_model("resnet8", num_classes=3, width=8)
    image = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(5), image)
    for step, top1 in ((5, 0.9), (40, 0.8)):
        filled = jax.tree.map(lambda x, s=step: jnp.full_like(x, s), variables)
        evaluated = replace(card, metrics={"top1": top1, "loss": 1.0})
        checkpoints.save(store.step_path(tmp_path, step), filled, evaluated)
    for options, value in (({}, 40), ({"step": 5}, 5), ({"step": "best"}, 5)):
        loaded = checkpoints.load(tmp_path, **options)
        assert loaded.variables["params"]["head"]["bias"][0] == value
    for which, value in (("5", 5), ("40", 40), ("best", 5)):
        loaded = checkpoints.load(f"{tmp_path}@{which}")
        assert loaded.variables["params"]["head"]["bias"][0] == value
    with pytest.raises(UsageError, match="has no checkpoint of step 6; it has 5, 40"):
        checkpoints.load(tmp_path, step=6)
    with pytest.raises(UsageError, match="has no checkpoint of step 6; it has 5, 40"):
        checkpoints.load(f"{tmp_path}@6")
    with pytest.raises(UsageError, match=r"`step` is for runs, and .* is none"):
        checkpoints.load(store.step_path(tmp_path, 5), step=5)


@pytest.fixture
def evaluated_run(tmp_path, card):
    """A run whose steps have the accuracies below; one of them was saved without."""
    measured = {5: (0.7, 1.0), 10: (0.9, 2.0), 20: (0.9, 1.0), 30: None, 40: (0.8, 0.1)}
    for step, figures in measured.items():
        metrics = {} if figures is None else dict(zip(("top1", "loss"), figures, strict=True))
        variables = {"params": {"w": jnp.full(2, float(step))}}
        checkpoints.save(store.step_path(tmp_path, step), variables, replace(card, metrics=metrics))
    return tmp_path


def test_the_best_step_of_a_run(evaluated_run, tmp_path, card):
    """The highest top-1, of two the lower loss; damaged and unfinished ones do not count."""
    assert store.best(evaluated_run) == store.step_path(tmp_path, 20)
    (store.step_path(tmp_path, 20) / "arrays" / "_CHECKPOINT_METADATA").unlink()
    assert store.best(evaluated_run) == store.step_path(tmp_path, 10)
    (store.step_path(tmp_path, 10) / "card.json").write_text("{}")
    assert store.best(evaluated_run) == store.step_path(tmp_path, 40)


def test_the_best_step_is_kept(evaluated_run):
    store.keep(evaluated_run, Retention(newest=1))
    assert [step for step, _ in store.steps(evaluated_run)] == [20, 40]


def test_best_of_a_run_that_was_never_evaluated(tmp_path, card):
    checkpoints.save(
        store.step_path(tmp_path, 5), {"params": {"w": jnp.ones(2)}}, replace(card, metrics={})
    )
    assert store.best(tmp_path) is None
    with pytest.raises(UsageError, match="no checkpoint that was evaluated when it was saved"):
        checkpoints.load(tmp_path, step="best")
