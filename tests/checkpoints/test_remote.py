"""Checkpoints in a file system that is not the machine's own."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

import checkpoints
import zoo
from checkpoints import paths, remote, store
from checkpoints.retention import Retention
from tests.checkpoints.gcs_server import Refusal
from zoo.errors import UsageError


@pytest.fixture(scope="module")
def variables():
    model = zoo.create_model("resnet8", num_classes=3, width=8)
    image = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)
    return zoo.init_variables(model, jax.random.key(5), image)


def assert_same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, dict(expected))


def test_what_is_saved_there_is_loaded_from_there(bucket, variables, card):
    address = checkpoints.save("gs://zoo/run/best", variables, card)
    assert isinstance(address, epath.Path)
    assert str(address) == "gs://zoo/run/best"
    assert "run/best/manifest.json" in bucket.objects
    for form in ("gs://zoo/run/best", address):
        loaded = checkpoints.load(form, num_classes=4)
        assert loaded.card.overrides == card.overrides
        assert loaded.fresh == ("params/head/bias", "params/head/kernel")
    assert_same(checkpoints.load(address).variables, variables)


def test_an_earlier_checkpoint_is_replaced(bucket, variables, card):
    checkpoints.save("gs://zoo/a", variables, card)
    (epath.Path("gs://zoo/a") / "notes.txt").write_bytes(b"x")
    doubled = jax.tree.map(lambda x: 2 * x, variables)
    checkpoints.save("gs://zoo/a", doubled, replace(card, license="mit"))
    loaded = checkpoints.load("gs://zoo/a")
    assert loaded.card.license == "mit"
    assert_same(loaded.variables, doubled)
    assert "a/notes.txt" in bucket.objects
    assert len({name.split("/")[1] for name in bucket.objects}) == 3  # notes, manifest, content


@pytest.mark.parametrize("last", ["arrays/params/d/", "card.json", "manifest.json"])
def test_a_save_that_breaks_off_leaves_what_was_there(bucket, variables, card, last):
    checkpoints.save("gs://zoo/a", variables, card)

    def refuse(name):
        if last in name:
            raise Refusal(403, "no more")

    bucket.before_write = refuse
    with pytest.raises(UsageError, match=r"Could not save .*'gs://zoo/a': .*no more"):
        checkpoints.save("gs://zoo/a", jax.tree.map(lambda x: 2 * x, variables), card)
    bucket.before_write = lambda name: None
    assert_same(checkpoints.load("gs://zoo/a").variables, variables)
    checkpoints.save("gs://zoo/a", jax.tree.map(lambda x: 3 * x, variables), card)
    assert len({name.split("/")[1] for name in bucket.objects}) == 2


def test_a_checkpoint_that_was_downloaded_is_one_here_too(bucket, variables, card, tmp_path):
    checkpoints.save("gs://zoo/a", variables, card)
    names = [name.removeprefix("a/") for name in bucket.objects]
    remote.download(paths.path("gs://zoo/a"), names, tmp_path / "b")
    store.rewrite_card(tmp_path / "b", replace(card, license="mit"))
    loaded = checkpoints.load(tmp_path / "b")
    assert loaded.card.license == "mit"
    assert_same(loaded.variables, variables)
    checkpoints.save(tmp_path / "b", variables, card)
    assert not any(path.name.startswith("v-") for path in (tmp_path / "b").iterdir())


def test_of_the_checkpoints_of_a_run_the_newest_and_the_best_are_kept(bucket, variables, card):
    for step, top1 in ((5, 0.9), (6, 0.2), (7, 0.3), (8, 0.4)):
        evaluated = replace(card, metrics={"top1": top1, "loss": 1.0})
        checkpoints.save(store.step_path("gs://zoo/run", step), variables, evaluated)
    del bucket.objects["run/steps/00000007/manifest.json"]
    store.keep("gs://zoo/run", Retention(newest=2))
    assert [step for step, _ in store.steps("gs://zoo/run")] == [5, 6, 8]
    store.keep("gs://zoo/run", Retention(newest=1))
    assert [step for step, _ in store.steps("gs://zoo/run")] == [5, 8]
    assert store.latest("gs://zoo/run").name == "00000008"
    store.verify(store.latest("gs://zoo/run"))


def test_what_holds_something_else_is_not_overwritten(bucket, variables, card):
    (epath.Path("gs://zoo/photos") / "cat.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="'gs://zoo/photos' exists and is not a checkpoint"):
        checkpoints.save("gs://zoo/photos", variables, card)
    assert list(bucket.objects) == ["photos/cat.png"]


def test_steps_of_a_run(bucket, variables, card):
    for step, top1 in ((5, 0.9), (40, 0.8)):
        filled = jax.tree.map(lambda x, s=step: jnp.full_like(x, s), variables)
        evaluated = replace(card, metrics={"top1": top1, "loss": 1.0})
        checkpoints.save(f"gs://zoo/run/steps/{step:08d}", filled, evaluated)

    def bias(**options):
        return checkpoints.load("gs://zoo/run", **options).variables["params"]["head"]["bias"][0]

    assert bias() == 40
    assert bias(step=5) == bias(step="best") == 5
    best = checkpoints.load("gs://zoo/run@best")
    assert best.variables["params"]["head"]["bias"][0] == 5
    with pytest.raises(UsageError, match="has no checkpoint of step 6; it has 5, 40"):
        bias(step=6)
    del bucket.objects["run/steps/00000040/manifest.json"]  # an interrupted upload
    assert bias() == 5


def test_damage_on_the_way_is_found(bucket, variables, card):
    checkpoints.save("gs://zoo/a", variables, card)
    path = next(p for p in bucket.objects if "/arrays/params/d/" in p)
    file = epath.Path(f"gs://zoo/{path}")
    file.write_bytes(b"!" + file.read_bytes()[1:])
    with pytest.raises(UsageError, match="The checkpoint 'gs://zoo/a' is damaged: arrays/"):
        checkpoints.load("gs://zoo/a")


def test_addresses_of_nothing(bucket):
    with pytest.raises(UsageError, match="There is no checkpoint directory 'gs://zoo/absent'"):
        checkpoints.load("gs://zoo/absent")
    with pytest.raises(UsageError, match=r"'https://x\.org/a' is no address .* such as gs://"):
        checkpoints.load("https://x.org/a")
    assert not paths.is_remote("runs/best")
