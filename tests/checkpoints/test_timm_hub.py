"""Models that people published on the hub in timm's form, by `hf-hub:owner/name`."""

import contextlib
import copy
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

import checkpoints
import zoo
from checkpoints import timm_hub
from checkpoints.origins import published as origin
from tests.checkpoints.torch_files import write
from zoo.errors import UsageError

REPO = "someone/pets"
CONFIG = {
    "architecture": "resnet8",
    "num_classes": 3,
    "label_names": ["cat", "dog", "hamster"],
    "model_args": {"num_classes": 3, "in_chans": 3},
    "pretrained_cfg": {
        "input_size": [3, 40, 40],
        "interpolation": "bilinear",
        "crop_pct": 0.9,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.1],
        "license": "mit",
    },
}


@pytest.fixture(scope="module")
def published():
    """Variables of a model, and its tensors as timm names them."""
    model = zoo.create_model("resnet8", num_classes=3)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(1), image)
    return variables, checkpoints.export_weights(model, variables)


def add_config(hub, **changes):
    hub.add(REPO, "config.json", json.dumps(CONFIG | changes).encode())


def assert_same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, dict(expected))


def test_the_configuration_says_what_the_model_is(hub, published, tmp_path, monkeypatch):
    variables, tensors = published
    add_config(hub)
    digest = hub.add(REPO, "model.safetensors", save(tensors))
    loaded = checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path / "cache")
    assert_same(loaded.variables, variables)
    assert loaded.model == zoo.create_model("resnet8", num_classes=3)
    assert loaded.card.class_names == ("cat", "dog", "hamster")
    assert loaded.card.license == "mit"
    assert loaded.card.source["sha256"] == digest
    assert loaded.preprocess == checkpoints.Preprocess(
        40, 0.9, "bilinear", (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    seen = len(hub.requests)
    again = checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path / "cache", num_classes=5)
    assert again.fresh == ("params/head/bias", "params/head/kernel")
    assert len(hub.requests) == seen


def test_torch_files_are_read_where_there_is_no_other(hub, published, tmp_path):
    variables, tensors = published
    add_config(hub)
    body = write(tmp_path / "x.bin", dict(tensors)).read_bytes()
    hub.add(REPO, "pytorch_model.bin", body)
    loaded = checkpoints.load(f"hf-hub:{REPO}@main", cache_dir=tmp_path / "cache")
    assert_same(loaded.variables, variables)
    assert loaded.card.source["file"] == "pytorch_model.bin"
    assert loaded.card.source["revision"] == "main"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "vit_tiny_patch16_224"}, "vit_tiny_patch16_224"),
        ({"model_args": 3}, "`model_args` must be an object of values by name, got 3"),
        ({"model_args": {"block_size": 3}}, r"resnet8\(block_size=3\), which this zoo does not"),
    ],
)
def test_what_the_zoo_does_not_have(hub, changes, message, tmp_path):
    add_config(hub, **changes)
    with pytest.raises(UsageError, match=message):
        checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path)


def test_a_configuration_that_is_none(hub, tmp_path):
    hub.add(REPO, "config.json", b"[1]")
    with pytest.raises(UsageError, match=r"config\.json of someone/pets is not that of a timm"):
        checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path)
    with pytest.raises(UsageError, match=r"of someone/cats does not exist at"):
        checkpoints.load("hf-hub:someone/cats", cache_dir=tmp_path)


WRONG = (None, 0, -1, 1.5, "x", [], {}, [1], ["a"], True, [[1]], 10**30)


@pytest.mark.parametrize("field", [*CONFIG, *CONFIG["model_args"], *CONFIG["pretrained_cfg"]])
def test_any_value_anywhere_gives_a_card_or_a_sentence(field, tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    monkeypatch.setattr("checkpoints.hub.fetch", lambda *_: (path, "0" * 64))
    for value in WRONG:
        config = copy.deepcopy(CONFIG)
        for part in (config, config["model_args"], config["pretrained_cfg"]):
            part.update({field: value} if field in part else {})
        path.write_text(json.dumps(config))
        with contextlib.suppress(UsageError):
            assert isinstance(timm_hub.card(f"hf-hub:{REPO}"), checkpoints.Card)


def test_a_hub_model_that_changed_is_loaded_anew(hub, published, tmp_path):
    variables, tensors = published
    add_config(hub)
    hub.add(REPO, "model.safetensors", save(tensors))
    assert_same(checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path).variables, variables)
    doubled = jax.tree.map(lambda x: 2 * x, dict(variables))
    model = zoo.create_model("resnet8", num_classes=3)
    hub.add(REPO, "model.safetensors", save(checkpoints.export_weights(model, doubled)))
    hub.commit = "1" * 40
    assert_same(checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path).variables, doubled)


def test_a_torch_file_alone_is_enough_offline(hub, published, tmp_path, monkeypatch):
    variables, tensors = published
    add_config(hub)
    hub.add(REPO, "pytorch_model.bin", write(tmp_path / "x.bin", dict(tensors)).read_bytes())
    checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path / "cache")
    seen = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    loaded = checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path / "cache")
    assert_same(loaded.variables, variables)
    assert len(hub.requests) == seen


def test_a_revision_stays_inside_the_cache(hub, published, tmp_path):
    _, tensors = published
    add_config(hub)
    hub.add(REPO, "model.safetensors", save(tensors))
    for revision in ("../../x", "refs/pr/1"):
        with pytest.raises(UsageError, match="does not exist"):
            checkpoints.load(f"hf-hub:{REPO}@{revision}", cache_dir=tmp_path / "cache")
    name = origin.file_name("a/b@../../../etc")
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()


def test_a_model_without_a_head(hub, tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"architecture": "resnet8", "num_classes": 0}))
    monkeypatch.setattr("checkpoints.hub.fetch", lambda *_: (path, "0" * 64))
    assert timm_hub.card(f"hf-hub:{REPO}").num_classes is None


def test_grey_images(hub, tmp_path):
    """The arguments of the constructor say how many channels where nothing else does."""
    model = zoo.create_model("resnet8", num_classes=3)
    image = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(1), image)
    add_config(hub, model_args={"in_chans": 1}, pretrained_cfg={})
    hub.add(REPO, "model.safetensors", save(checkpoints.export_weights(model, variables)))
    loaded = checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path / "cache")
    assert loaded.preprocess.channels == 1
    assert_same(loaded.variables, variables)


@pytest.mark.parametrize(
    "name", ["hf_hub:{}", "hf://{}", "hf://{}/", "{}", "hf-hub:{}@main", "{}@main"]
)
def test_ways_to_write_an_identifier(hub, published, tmp_path, monkeypatch, name):
    variables, tensors = published
    add_config(hub)
    hub.add(REPO, "model.safetensors", save(tensors))
    monkeypatch.chdir(tmp_path)
    loaded = checkpoints.load(name.format(REPO), cache_dir=tmp_path / "cache")
    assert_same(loaded.variables, variables)
    assert loaded.card.name.partition("@")[0] == REPO
    assert loaded.card.source["repo"] == REPO


def test_what_is_here_comes_before_the_hub(hub, published, tmp_path, monkeypatch):
    """A folder called like the owner, a file that is missing, and what runs are written to."""
    _, tensors = published
    add_config(hub)
    hub.add(REPO, "model.safetensors", save(tensors))
    monkeypatch.chdir(tmp_path)
    seen = len(hub.requests)
    (tmp_path / "someone").mkdir()
    for name in (REPO, "runs/pets", "./someone/pets", "someone/pets.safetensors"):
        with pytest.raises(UsageError, match="There is no checkpoint directory"):
            checkpoints.load(name)
    with pytest.raises(UsageError, match="There is no checkpoint directory"):
        checkpoints.load(tmp_path / "elsewhere" / "pets")
    assert len(hub.requests) == seen
    (tmp_path / "someone").rmdir()
    with pytest.raises(UsageError, match=r"no checkpoint directory 'a/b', so it was looked for"):
        checkpoints.load("a/b")


def test_a_downloaded_repository_is_what_its_identifier_gives(hub, published, tmp_path):
    _, tensors = published
    add_config(hub)
    hub.add(REPO, "model.safetensors", save(tensors))
    online = checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path / "cache")
    folder = tmp_path / "pets"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(UsageError, match=r"has a config\.json and no weights beside it"):
        checkpoints.load(folder)
    (folder / "model.safetensors").write_bytes(save(tensors))
    with pytest.raises(UsageError, match=r"config\.json beside it may: give the folder"):
        checkpoints.load(folder / "model.safetensors")
    local = checkpoints.load(folder)
    assert_same(local.variables, online.variables)
    assert (local.model, local.preprocess) == (online.model, online.preprocess)
    assert local.card.class_names == online.card.class_names
    assert local.card.source["sha256"] == online.card.source["sha256"]
    saved = checkpoints.save(tmp_path / "saved", local.variables, local.card)
    assert_same(checkpoints.load(saved).variables, local.variables)
    with pytest.raises(UsageError, match="`architecture` is for files of other libraries"):
        checkpoints.load(folder, architecture="resnet8")


def test_a_downloaded_repository_in_parts(published, tmp_path):
    variables, tensors = published
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2]}
    parts |= {"model-00002-of-00002.safetensors": names[1::2]}
    for part, held in parts.items():
        (tmp_path / part).write_bytes(save({name: tensors[name] for name in held}))
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert_same(checkpoints.load(tmp_path).variables, variables)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf-hub:", "names no model of the hub; write hf-hub:OWNER/NAME"),
        ("hf_hub:a b", "names no model of the hub"),
        ("hf-hub:../../x", "names no model of the hub"),
        ("hf-hub:a/b/c", "names no model of the hub"),
        ("hf-hub:" + "y" * 10**6, "is too long to be the name"),
        ("y" * 10**6, "is too long to be the name"),
        ("owner/" + "y" * 300, "is too long to be the name"),
    ],
    ids=lambda text: text[:20],
)
def test_names_that_are_none(name, message):
    with pytest.raises(UsageError, match=message) as refused:
        checkpoints.load(name)
    assert len(str(refused.value)) < 300
