"""Models that people published on the hub in timm's form, by `hf-hub:owner/name`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

import checkpoints
import zoo
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
        ({"model_args": 3}, "is not that of a timm model"),
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
