import shutil
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from checkpoints import released, store
from checkpoints.surgery import flatten
from zoo.errors import UsageError

NAME, REPO, FILE = "resnet18.a1_in1k", "timm/resnet18.a1_in1k", "model.safetensors"
HEAD = ("params/head/bias", "params/head/kernel")


def relative_error(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


def logits_of(loaded, images):
    return jax.jit(partial(loaded.model.apply, train=False))(loaded.variables, images)


@pytest.fixture(scope="module")
def small():
    """A model and variables that take no time."""
    model = zoo.create_model("resnet8", num_classes=3, width=8)
    image = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)
    return model, zoo.init_variables(model, jax.random.key(5), image)


@pytest.fixture
def directory(small, card, tmp_path):
    return checkpoints.save(tmp_path / "resnet8.mine", small[1], card)


def assert_equal_leaves(found, expected, but=()):
    found, expected = flatten(found), flatten(expected)
    assert list(found) == list(expected)
    for path in (path for path in expected if path not in but):
        np.testing.assert_array_equal(found[path], expected[path])


# Directories


def test_a_directory_alone_rebuilds_the_model(directory, small, card):
    model, variables = small
    loaded = checkpoints.load(directory)
    assert loaded.model == model
    assert loaded.preprocess == card.preprocess
    assert loaded.card.parameters == sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert loaded.card.class_names == card.class_names
    assert loaded.fresh == ()
    assert_equal_leaves(loaded.variables, variables)
    assert checkpoints.load(str(directory)).card == loaded.card


def test_a_model_from_a_card_can_be_compiled(tmp_path, card):
    """JSON makes lists of tuples, and a compiled step is kept under the model's hash."""
    overrides = {"width": 8, "stage_sizes": (1, 1)}
    model = zoo.create_model("resnet8", num_classes=3, **overrides)
    image = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(5), image)
    path = checkpoints.save(tmp_path / "x", variables, replace(card, overrides=overrides))
    loaded = checkpoints.load(path)
    apply = jax.jit(
        lambda model, x: model.apply(loaded.variables, x, train=False), static_argnums=0
    )
    assert apply(loaded.model, jnp.zeros((1, 16, 16, 1))).shape == (1, 3)
    assert loaded.model == model


def test_a_rectangular_image_size(tmp_path):
    """No photograph is cut to it here, but what was trained on arrays is loaded again."""
    overrides = {"image_size": (16, 8), "depth": 1}
    model = zoo.create_model("tnt_nano", num_classes=3, **overrides)
    image = jax.ShapeDtypeStruct((1, 16, 8, 3), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(5), image)
    card = checkpoints.Card("x", "tnt_nano", overrides, 3, preprocess=checkpoints.Preprocess(16))
    loaded = checkpoints.load(checkpoints.save(tmp_path / "x", variables, card), num_classes=4)
    assert loaded.model.image_size == (16, 8)
    assert loaded.fresh == HEAD


def test_what_the_trainer_adds_is_not_loaded(small, card, tmp_path):
    extra = {"train": {"step": jnp.int32(3)}}
    path = checkpoints.save(tmp_path / "x", small[1] | extra, card)
    assert set(checkpoints.load(path).variables) == {"params", "batch_stats"}


def test_other_classes_give_a_fresh_head(directory, small, card, key):
    loaded = checkpoints.load(directory, num_classes=7, key=key)
    assert loaded.fresh == HEAD
    assert loaded.model.num_classes == loaded.card.num_classes == 7
    assert loaded.card.class_names is None
    assert loaded.card.metrics == {}
    assert loaded.card.parameters == sum(
        x.size for x in jax.tree.leaves(loaded.variables["params"])
    )
    image = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)
    template = zoo.init_variables(loaded.model, key, image)
    assert_equal_leaves(loaded.variables["params"]["head"], template["params"]["head"])
    assert_equal_leaves(loaded.variables, small[1] | {}, but=HEAD)


def test_a_fresh_head_saves_and_loads(directory, tmp_path):
    first = checkpoints.load(directory, num_classes=7)
    path = checkpoints.save(tmp_path / "second", first.variables, first.card)
    second = checkpoints.load(path, num_classes=7)
    assert second.fresh == ()
    assert second.card == first.card
    assert_equal_leaves(second.variables, first.variables)


def test_the_key_of_the_head_is_zero_unless_given(directory):
    heads = [
        checkpoints.load(directory, num_classes=7, key=k).variables["params"]["head"]["kernel"]
        for k in (None, jax.random.key(0), jax.random.key(1))
    ]
    np.testing.assert_array_equal(heads[0], heads[1])
    assert np.abs(heads[0] - heads[2]).max() > 0


def test_the_same_number_of_classes_keeps_the_head(directory):
    assert checkpoints.load(directory, num_classes=3).fresh == ()


def test_dtype_is_that_of_the_computation(directory):
    loaded = checkpoints.load(directory, dtype=jnp.bfloat16)
    assert loaded.model.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves(loaded.variables)} == {jnp.dtype("float32")}


def test_a_run_gives_its_newest_complete_checkpoint(small, card, tmp_path):
    for step in (5, 40, 200):
        variables = jax.tree.map(lambda x, s=step: jnp.full_like(x, s), small[1])
        checkpoints.save(store.step_path(tmp_path, step), variables, card)

    def loaded_step():
        return checkpoints.load(tmp_path).variables["params"]["head"]["bias"][0]

    assert loaded_step() == 200
    (store.step_path(tmp_path, 200) / "card.json").unlink()
    assert loaded_step() == 40
    data = next((store.step_path(tmp_path, 40) / "arrays" / "params" / "d").iterdir())
    data.write_bytes(b"!" + data.read_bytes()[1:])
    with pytest.raises(UsageError, match="is damaged"):
        loaded_step()
    for step in (5, 40, 200):
        shutil.rmtree(store.step_path(tmp_path, step) / "arrays")
    with pytest.raises(UsageError, match=r"has no complete checkpoint\. .*00200.* is damaged"):
        loaded_step()


def test_another_model_shows_the_difference(small, card, tmp_path):
    path = checkpoints.save(tmp_path / "x", small[1], replace(card, overrides={"width": 16}))
    with pytest.raises(
        UsageError, match=r"head/kernel is float32\[32,3\], expected float32\[64,3\]"
    ):
        checkpoints.load(path)


def test_a_card_of_an_unknown_architecture(small, card, tmp_path):
    path = checkpoints.save(tmp_path / "x", small[1], replace(card, architecture="resnet9"))
    with pytest.raises(UsageError, match="resnet9"):
        checkpoints.load(path)


def test_what_is_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match=r"'photos' is not a checkpoint.*it is empty"):
        checkpoints.load("photos")
    with pytest.raises(UsageError, match="There is no checkpoint directory 'runs/best'"):
        checkpoints.load("runs/best")
    (tmp_path / "x.safetensors").touch()
    with pytest.raises(UsageError, match="is no file of weights, or is damaged"):
        checkpoints.load("x.safetensors")
    with pytest.raises(UsageError, match="`num_classes` must be at least 1, got 0"):
        checkpoints.load("photos", num_classes=0)


def test_shipped_weights(directory, small, monkeypatch):
    monkeypatch.setattr(released, "_shipped", lambda: {"resnet8.mine": directory})
    loaded = checkpoints.load("resnet8.mine", num_classes=4)
    assert loaded.fresh == HEAD
    assert "resnet8.mine" in checkpoints.list_weights()


# The hub


def test_weights_from_the_hub(hub, golden, tmp_path, monkeypatch):
    """First network, then cache; the same logits both times, and a fresh head for the asking."""
    body, images, recorded = golden("resnet18_64", num_classes=1000)
    digest = hub.add(REPO, FILE, body)
    cache = tmp_path / "cache"

    first = checkpoints.load(NAME, cache_dir=cache)
    classes = recorded["logits"].shape[-1]
    logits = logits_of(first, images)
    assert relative_error(logits[:, :classes], recorded["logits"]) < 1e-5
    assert first.card.source["sha256"] == digest
    assert first.card.versions["jax"] == jax.__version__
    assert first.fresh == ()

    shutil.rmtree(tmp_path / "hub")
    hub.refuse, seen = 500, len(hub.requests)
    second = checkpoints.load(NAME, num_classes=37, cache_dir=cache)
    assert len(hub.requests) == seen
    assert second.card.source == first.card.source
    assert second.fresh == HEAD
    assert second.variables["params"]["head"]["kernel"].shape == (512, 37)
    assert_equal_leaves(second.variables, first.variables, but=HEAD)

    # A damaged cache is not an error: the weights are fetched anew.
    hub.refuse = None
    (cache / NAME / "card.json").write_text("{}")
    assert_equal_leaves(checkpoints.load(NAME, cache_dir=cache).variables, first.variables)
    store.verify(cache / NAME)

    # Nor is an old one, once the catalogue demands another file.
    other = replace(first.card, source=first.card.source | {"sha256": "0" * 64})
    monkeypatch.setitem(released._published(), NAME, other)
    with pytest.raises(UsageError, match=f"expected {'0' * 64}"):
        checkpoints.load(NAME, cache_dir=cache)


def test_a_corrupted_download_leaves_no_cache(hub, tmp_path):
    hub.flip_a_bit(hub.add(REPO, FILE, bytes(5000)))
    with pytest.raises(UsageError, match="is damaged"):
        checkpoints.load(NAME, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_file_of_another_model_is_refused(hub, golden, tmp_path):
    body, *_ = golden("resnet18_64")
    hub.add(REPO, FILE, body)
    with pytest.raises(UsageError, match=r"fc\.weight"):
        checkpoints.load(NAME, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_does_not_stop_the_load(hub, golden, tmp_path):
    hub.add(REPO, FILE, golden("resnet18_64", num_classes=1000)[0])
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="will be converted again next time"):
        loaded = checkpoints.load(NAME, cache_dir=tmp_path / "file")
    assert loaded.card.name == NAME


@pytest.mark.slow
def test_resnet50_from_the_hub_equals_the_reference(hub, golden, tmp_path):
    body, images, recorded = golden("resnet50_224_c1000")
    hub.add("timm/resnet50.a1_in1k", FILE, body)
    loaded = checkpoints.load("resnet50.a1_in1k", cache_dir=tmp_path)
    assert relative_error(logits_of(loaded, images), recorded["logits"]) < 1e-5
