"""What earlier versions saved loads under today's names."""

import re
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import checkpoints
import zoo
from checkpoints import former_names, store
from checkpoints.surgery import flatten
from zoo.errors import UsageError

FIELDS = {"stage_sizes": (1, 1), "width": 8, "num_classes": 3}
IMAGE = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
CARD = checkpoints.Card(
    name="former",
    architecture="resnet18d",
    overrides={"stage_sizes": (1, 1), "width": 8},
    num_classes=3,
    preprocess=checkpoints.Preprocess(32),
)


@pytest.fixture(scope="module")
def variables():
    model = zoo.create_model("resnet18d", **FIELDS)
    return dict(zoo.init_variables(model, jax.random.key(0), IMAGE))


def formerly(tree):
    """A tree as earlier versions had it."""
    names = {path: former_names.former(path) for path in flatten(tree)}
    assert names != dict(zip(names, names, strict=True))
    return former_names.as_stored(tree, names)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_only_shortcuts_of_earlier_versions_are_renamed(variables):
    before = set(flatten(formerly(variables))) - set(flatten(variables))
    assert before == {
        "batch_stats/stage2_block0/shortcut/projection_norm/mean",
        "batch_stats/stage2_block0/shortcut/projection_norm/var",
        "params/stage2_block0/shortcut/projection/kernel",
        "params/stage2_block0/shortcut/projection_norm/bias",
        "params/stage2_block0/shortcut/projection_norm/scale",
    }


def test_no_network_has_a_former_name():
    """Else its checkpoints could be read as another leaf's."""
    for name in ("resnet50d", "resnetv2_50", "resnetv2_18d", "resnet50"):
        model = zoo.create_model(name, stage_sizes=(1, 1), width=8)
        shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), IMAGE)
        paths = flatten(dict(shapes))
        assert not [p for p in paths for old in former_names.FORMER.values() if f"/{old}/" in p]
        shortcuts = {m[1] for p in paths if (m := re.search(r"shortcut/(\w+)/", p))}
        assert shortcuts - {"norm"} == {"conv"}


def test_a_checkpoint_of_an_earlier_version_loads(variables, tmp_path):
    checkpoints.save(tmp_path / "old", formerly(variables), CARD)
    assert_same(checkpoints.load(tmp_path / "old").variables, variables)


class Pair(NamedTuple):
    """A container that is no dictionary, as optax and Flax have them."""

    first: dict
    second: tuple


def test_a_state_of_an_earlier_version_is_restored(variables, tmp_path):
    params = variables["params"]
    state = {
        "opt_state": optax.adamw(1e-3).init(params),
        "other": Pair(params, (params, jnp.ones(2))),
    }
    tree = {**variables, "train": jax.tree.map(lambda x: x + 1, state)}
    checkpoints.save(tmp_path / "old", formerly(tree), CARD)
    assert_same(store.restore(tmp_path / "old", tree), tree)


def test_a_file_of_an_earlier_version_loads(variables, tmp_path):
    np.savez(tmp_path / "old.npz", **flatten(formerly(variables)))
    loaded = checkpoints.load(
        tmp_path / "old.npz",
        architecture="resnet18d",
        overrides={name: FIELDS[name] for name in ("stage_sizes", "width")},
    )
    assert loaded.card.format == "zoo"
    assert_same(loaded.variables, variables)


def test_a_leaf_that_has_neither_name_is_missed(variables, tmp_path):
    tree = formerly(variables)
    del tree["params"]["stage2_block0"]["shortcut"]["projection"]
    checkpoints.save(tmp_path / "old", tree, CARD)
    with pytest.raises(UsageError, match=r"missing: .*shortcut/conv/kernel"):
        checkpoints.load(tmp_path / "old")


def test_names_of_other_networks_stay(tmp_path):
    """A network of one's own may have what is a former name of ours."""
    tree = {"params": {"shortcut": {"projection": jnp.ones(3), "conv": jnp.zeros(3)}}}
    checkpoints.save(tmp_path / "own", tree, CARD)
    assert_same(store.restore(tmp_path / "own", tree), tree)
