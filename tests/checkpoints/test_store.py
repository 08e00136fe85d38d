import errno
import os
import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import checkpoints
from checkpoints import atomic, manifest, store
from checkpoints.retention import Retention
from checkpoints.surgery import describe, flatten
from zoo.errors import UsageError

KILLED = -9


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert describe(found) == describe(expected)
    for a, b in zip(flatten(found).values(), flatten(expected).values(), strict=True):
        assert bits(a) == bits(b)


def bits(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()


def abstract(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


@pytest.fixture
def saved(tmp_path, tree, card):
    return checkpoints.save(tmp_path / "run" / "best", tree, card)


# Round trips


def test_optimiser_state_counters_and_keys_come_back(saved, tree, card):
    assert_same(store.restore(saved, abstract(tree)), tree)
    assert store.read_card(saved) == card


def test_concrete_trees_describe_as_well_as_abstract_ones(saved, tree):
    assert_same(store.restore(saved, tree), tree)


def test_only_what_is_asked_for_is_read(saved, tree):
    params = abstract({"params": tree["params"]})
    assert_same(store.restore(saved, params), {"params": tree["params"]})


def test_restored_arrays_may_meet_arrays_of_any_device(saved, tree):
    kernel = store.restore(saved, abstract(tree))["params"]["head"]["kernel"]
    other = jax.device_put(jnp.ones((4, 3)), jax.devices()[3])
    assert (kernel + other).devices() == {jax.devices()[3]}


def test_eight_devices_save_and_one_loads_and_back(tmp_path, card):
    mesh = Mesh(np.array(jax.devices()), "x")
    rows = NamedSharding(mesh, PartitionSpec("x"))
    tree = {"params": {"w": jax.device_put(jnp.arange(32.0).reshape(16, 2), rows)}}
    path = checkpoints.save(tmp_path / "sharded", tree, card)
    assert_same(store.restore(path, abstract(tree)), jax.tree.map(np.asarray, tree))

    columns = NamedSharding(mesh, PartitionSpec(None, None))
    like = {"params": {"w": jax.ShapeDtypeStruct((16, 2), jnp.float32, sharding=rows)}}
    one = checkpoints.save(tmp_path / "one", jax.tree.map(np.asarray, tree), card)
    for source in (path, one):
        again = store.restore(source, like)["params"]["w"]
        assert again.sharding == rows
        np.testing.assert_array_equal(again, tree["params"]["w"])
    like["params"]["w"] = jax.ShapeDtypeStruct((16, 2), jnp.float32, sharding=columns)
    assert store.restore(one, like)["params"]["w"].sharding == columns


def test_what_is_the_same_on_eight_devices_loads_on_one_and_back(tmp_path, card):
    mesh = Mesh(np.array(jax.devices()), "x")
    everywhere = NamedSharding(mesh, PartitionSpec())
    tree = {"params": {"w": jax.device_put(jnp.arange(32.0).reshape(16, 2), everywhere)}}
    path = checkpoints.save(tmp_path / "replicated", tree, card)
    one = store.restore(path, abstract(tree))["params"]["w"]
    assert one.devices() == {jax.devices()[0]}
    np.testing.assert_array_equal(one, tree["params"]["w"])
    again = checkpoints.save(tmp_path / "one", {"params": {"w": one}}, card)
    like = {"params": {"w": jax.ShapeDtypeStruct((16, 2), jnp.float32, sharding=everywhere)}}
    for source in (path, again):
        found = store.restore(source, like)["params"]["w"]
        assert found.sharding == everywhere
        np.testing.assert_array_equal(found, one)


def test_arrays_may_stay_in_host_memory(saved, tree):
    found = store.restore(saved, abstract({"params": tree["params"]}), host=True)
    assert {type(leaf) for leaf in jax.tree.leaves(found)} == {np.ndarray}
    assert_same(found, {"params": tree["params"]})


def test_orbax_alone_reads_the_arrays(saved, tree):
    from orbax.checkpoint import v1 as ocp

    arrays = ocp.load_checkpointables(saved / "arrays", {"params": tree["params"]})
    assert_same(arrays["params"], tree["params"])


# Damage: each is one sentence


def test_absent(tmp_path):
    with pytest.raises(UsageError, match="There is no checkpoint directory"):
        store.read_card(tmp_path / "nothing")


def test_empty(tmp_path):
    with pytest.raises(UsageError, match="it is empty"):
        store.verify(tmp_path)


def test_not_a_checkpoint(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match=r"it has no manifest\.json"):
        store.verify(tmp_path)


def test_every_single_file_is_guarded(saved, tree):
    names = ["manifest.json", *manifest.read(saved)["files"]]
    assert "card.json" in names
    assert len(names) > 5
    for name in names:
        path, whole = saved / name, (saved / name).read_bytes()
        path.unlink()
        with pytest.raises(UsageError, match=r"missing|has no manifest"):
            store.restore(saved, abstract(tree))
        path.write_bytes(whole[:-2])
        if whole:
            with pytest.raises(UsageError, match=r"bytes instead of|cannot be read"):
                store.restore(saved, abstract(tree))
        path.write_bytes(whole)
    assert_same(store.restore(saved, abstract(tree)), tree)


def test_a_flipped_bit_is_found_in_every_file(saved, tree):
    for name in manifest.read(saved)["files"]:
        path, whole = saved / name, (saved / name).read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1} if whole else ():
            damaged = bytearray(whole)
            damaged[place] ^= 4
            path.write_bytes(damaged)
            with pytest.raises(UsageError, match=f"damaged: {name} has changed"):
                store.restore(saved, abstract(tree))
        path.write_bytes(whole)


ENTRIES = '{"format": 1, "leaves": {}, "files": {"card.json": %s}}'
UNREADABLE = [
    "",
    "[]",
    "null",
    '{"format": 1}',
    "{",
    '{"format": 1, "leaves": {"w": 3}, "files": {}}',
]
UNREADABLE += [
    ENTRIES % entry for entry in ("3", "{}", '{"size": 1}', '{"size": "1", "sha256": ""}')
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_unreadable_manifest(saved, text):
    (saved / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match=r"damaged: manifest\.json cannot be read"):
        store.verify(saved)


def test_a_later_format_asks_for_a_newer_version(saved):
    text = (saved / "manifest.json").read_text()
    (saved / "manifest.json").write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(UsageError, match="install a newer jax-functional-zoo"):
        store.verify(saved)


def test_another_model_shows_the_whole_difference(saved, tree):
    wanted = abstract(tree)
    wanted["params"]["head"]["kernel"] = jax.ShapeDtypeStruct((4, 9), jnp.float32)
    wanted["params"]["head"]["bias"] = jax.ShapeDtypeStruct((3,), jnp.float16)
    wanted["params"]["neck"] = wanted["params"].pop("stem")
    with pytest.raises(UsageError, match="of another model; 4 leaves") as error:
        store.restore(saved, wanted)
    assert str(error.value).splitlines()[1:] == [
        "  differs:    params/head/bias is float32[3], expected float16[3]",
        "  differs:    params/head/kernel is float32[4,3], expected float32[4,9]",
        "  missing:    params/neck/kernel float32[3,3,1,4]",
        "  unexpected: params/stem/kernel float32[3,3,1,4]",
    ]


def test_a_missing_part_is_named(tmp_path, tree, card):
    path = checkpoints.save(tmp_path / "weights", {"params": tree["params"]}, card)
    with pytest.raises(UsageError, match=r"has no 'train'; it holds params\."):
        store.restore(path, abstract(tree))


# Writing: whole or not at all


def hidden(directory):
    return [path.name for path in directory.iterdir() if path.name.startswith(".")]


def test_replacing_leaves_nothing_behind(saved, tree, card):
    tree["params"]["head"]["bias"] += 1
    assert checkpoints.save(saved, tree, card) == saved
    assert_same(store.restore(saved, abstract(tree)), tree)
    assert hidden(saved.parent) == []


def test_replacing_never_leaves_a_gap(saved, tree, card):
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append((saved / "manifest.json").is_file() and (saved / "card.json").is_file())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(3):
        checkpoints.save(saved, tree, card)
    done.set()
    watcher.join()
    assert len(seen) > 100
    assert all(seen)


def test_replacing_where_directories_cannot_be_exchanged(saved, tree, card, monkeypatch):
    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    tree["params"]["head"]["bias"] += 1
    checkpoints.save(saved, tree, card)
    assert_same(store.restore(saved, abstract(tree)), tree)
    assert hidden(saved.parent) == []


SAVE = """
import os, signal
from pathlib import Path
import jax.numpy as jnp
import checkpoints
from checkpoints import atomic, manifest

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

{patch}
card = checkpoints.Card("new", "resnet8")
checkpoints.save({path!r}, {{"params": {{"w": jnp.full(4, 2.0)}}}}, card)
"""


@pytest.mark.parametrize("there", [False, True], ids=["first", "second"])
@pytest.mark.parametrize(
    "patch",
    ["manifest.write = die", "atomic._flush = die"],
    ids=["without manifest", "without its name"],
)
def test_killed_while_saving(patch, there, tmp_path, card, run_python):
    path, old = tmp_path / "best", {"params": {"w": jnp.ones(4)}}
    if there:
        checkpoints.save(path, old, card)
    result = run_python(SAVE.format(patch=patch, path=str(path)))
    assert result.returncode == KILLED, result.stderr
    assert store.is_checkpoint(path) == there
    assert len(hidden(tmp_path)) == 1
    if there:
        assert_same(store.restore(path, abstract(old)), old)
    checkpoints.save(path, old, card)
    assert_same(store.restore(path, abstract(old)), old)
    assert hidden(tmp_path) == []


def test_killed_between_two_renames(tmp_path, card, run_python):
    path, old = tmp_path / "best", {"params": {"w": jnp.ones(4)}}
    checkpoints.save(path, old, card)
    patch = """
rename, calls = Path.rename, []
def second_dies(self, other):
    calls.append(other)
    die() if len(calls) == 2 else rename(self, other)
Path.rename = second_dies
atomic._exchange = lambda a, b: False
"""
    result = run_python(SAVE.format(patch=patch, path=str(path)))
    assert result.returncode == KILLED, result.stderr
    assert not path.exists()
    assert_same(store.restore(path, abstract(old)), old)
    assert store.read_card(path) == card
    checkpoints.save(path, {"params": {"w": jnp.zeros(4)}}, card)
    assert store.restore(path, abstract(old))["params"]["w"].sum() == 0
    assert hidden(tmp_path) == []


def test_what_is_no_checkpoint_is_not_overwritten(tmp_path, tree, card):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not a checkpoint, so it is not overwritten"):
        checkpoints.save(tmp_path, tree, card)
    with pytest.raises(UsageError, match="not a checkpoint, so it is not overwritten"):
        checkpoints.save(tmp_path / "thesis.tex", tree, card)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_empty_directory_is_filled(tmp_path, tree, card):
    (tmp_path / "new").mkdir()
    store.verify(checkpoints.save(tmp_path / "new", tree, card))


def test_a_place_that_cannot_be_written(tmp_path, tree, card):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Could not save the checkpoint"):
        checkpoints.save(tmp_path / "file" / "below", tree, card)


def test_no_space_left_for_the_manifest(saved, tree, card, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(manifest, "write", full)
    with pytest.raises(UsageError, match="no space left on the device"):
        checkpoints.save(saved, jax.tree.map(lambda x: x, tree), card)
    assert hidden(saved.parent) == []
    assert_same(store.restore(saved, abstract(tree)), tree)


def test_no_space_left_for_the_arrays(small_disk, tree, card, capfd):
    path = checkpoints.save(small_disk / "best", tree, card)
    used = shutil.disk_usage(small_disk).used
    big = np.random.default_rng(0).random((1024, 1024))
    for _ in range(2):
        with pytest.raises(UsageError, match="no space left on the device"):
            checkpoints.save(path, {"params": {"w": big}}, card)
        assert hidden(small_disk) == []
        assert shutil.disk_usage(small_disk).used == used
    assert capfd.readouterr().err == ""
    assert_same(store.restore(path, abstract(tree)), tree)


# Runs


@pytest.fixture
def run(tmp_path, card):
    for step in (20, 100, 3):
        tree = {"params": {"w": jnp.full(2, float(step))}}
        checkpoints.save(store.step_path(tmp_path, step), tree, card)
    return tmp_path


def test_steps_are_in_the_order_of_numbers(run):
    (run / "steps" / ".00000200.host.1.partial").mkdir()
    (run / "steps" / "notes").mkdir()
    assert [step for step, _ in store.steps(run)] == [3, 20, 100]
    assert store.latest(run) == run / "steps" / "00000100"


def test_no_run_has_no_steps(tmp_path):
    assert store.steps(tmp_path) == []
    assert store.latest(tmp_path) is None


def test_an_incomplete_step_is_passed_over(run):
    (run / "steps" / "00000100" / "card.json").unlink()
    assert store.latest(run) == run / "steps" / "00000020"


def test_keep_deletes_the_oldest_and_leftovers(run):
    (run / "steps" / ".00000200.host.1.partial").mkdir()
    (run / "steps" / "00000200").mkdir()
    (run / "steps" / "00000200" / "card.json").touch()
    store.keep(run, Retention(newest=2))
    assert [step for step, _ in store.steps(run)] == [20, 100, 200]
    assert hidden(run / "steps") == []
    store.keep(run, Retention(newest=5))
    assert store.latest(run) == run / "steps" / "00000100"
    with pytest.raises(UsageError, match="at least 1"):
        Retention(newest=0)


def test_a_relative_directory_is_as_good_as_an_absolute_one(tree, card, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store.save("here", tree, card)
    restored = store.restore("here", {"params": tree["params"]})
    np.testing.assert_array_equal(
        restored["params"]["head"]["kernel"], tree["params"]["head"]["kernel"]
    )
