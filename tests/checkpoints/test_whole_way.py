"""Name -> download -> convert -> cache -> logits, for one set of weights of every family.

The files are what the publishers serve, with the golden fill in place of the numbers. On the way a
bit flips, then a connection breaks; the logits are those that the reference implementation gave.
"""

import hashlib
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from safetensors.numpy import save

import checkpoints
from checkpoints import released
from checkpoints.surgery import flatten
from tests.checkpoints.keras_files import write_h5
from tests.checkpoints.torch_files import write
from zoo.errors import UsageError

pytestmark = pytest.mark.slow


def assert_logits(loaded, images, recorded):
    """Those of the golden case, whose classes are the first ones of the weights."""
    logits = jax.jit(partial(loaded.model.apply, train=False))(loaded.variables, images)
    expected = recorded["logits"]
    error = np.abs(logits[:, : expected.shape[1]] - expected).max() / np.abs(expected).max()
    assert error < 1e-5


def assert_arrives(hub, content, name, cache, images, recorded, monkeypatch):
    """Loads weights whose content a server has, through all that can happen on the way."""
    intact = hub.served[content]
    hub.flip_a_bit(content)
    with pytest.raises(UsageError, match=r"is damaged.*It was deleted"):
        checkpoints.load(name, cache_dir=cache)
    assert not list(cache.glob("*/manifest.json"))
    hub.served[content] = intact
    hub.break_after = len(intact) // 2
    first = checkpoints.load(name, cache_dir=cache)
    assert hub.break_after is None
    assert len(hub.ranges) == 1
    assert first.card.source["sha256"] == hashlib.sha256(intact).hexdigest()
    assert_logits(first, images, recorded)
    hub.served.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    second = checkpoints.load(name, cache_dir=cache)
    assert second.card == first.card
    for path, leaf in flatten(first.variables).items():
        np.testing.assert_array_equal(flatten(second.variables)[path], leaf)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("resnet18.a1_in1k", "resnet18_64"),
        ("resnetv2_50.a1h_in1k", "resnetv2_50_64"),
        ("inception_v3.tf_in1k", "inception_v3_139"),
        ("tnt_s_patch16_224.in1k", "tnt_s_patch16_224_c1000"),
    ],
)
def test_from_the_hub(hub, golden_tensors, tmp_path, monkeypatch, name, case):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)
    tensors, images, recorded = golden_tensors(case, 1000)
    digest = hub.add(f"timm/{name}", "model.safetensors", save(tensors))
    assert_arrives(hub, digest, name, tmp_path / "cache", images, recorded, monkeypatch)


def serve(hub, monkeypatch, name, file, body, **hashes):
    """Puts a body at the address of a row of the catalogue, which is moved to the server."""
    hub.served[file] = body
    card = released._published()[name]
    source = card.source | {"url": f"{hub.content_host}/content/{file}", **hashes}
    monkeypatch.setitem(released._published(), name, replace(card, source=source))


def test_from_torchvision(hub, golden_tensors, tmp_path, monkeypatch):
    """A torch file with a hash in its name, and with auxiliary heads that the network lacks."""
    name = "googlenet.imagenet1k_v1"
    tensors, images, recorded = golden_tensors("googlenet_tv_aux_96", 1000)
    body = write(tmp_path / "x.pth", tensors).read_bytes()
    file = f"googlenet-{hashlib.sha256(body).hexdigest()[:8]}.pth"
    serve(hub, monkeypatch, name, file, body)
    assert_arrives(hub, file, name, tmp_path / "cache", images, recorded, monkeypatch)


def test_from_keras(hub, golden_tensors, tmp_path, monkeypatch):
    """An HDF5 file whose publisher states its MD5."""
    name = "nasnetamobile.imagenet"
    tensors, images, recorded = golden_tensors("nasnetmobile_keras_224_c1000")
    body = write_h5(tmp_path / "x.h5", tensors).read_bytes()
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    serve(hub, monkeypatch, name, "NASNet-mobile.h5", body, md5=md5)
    assert_arrives(hub, "NASNet-mobile.h5", name, tmp_path / "cache", images, recorded, monkeypatch)


def test_what_a_person_downloaded(golden_tensors, tmp_path):
    """SReT's authors keep their files in a drive, as checkpoints of a training script."""
    tensors, images, recorded = golden_tensors("sret_t_wo_slice_224_c1000")
    run = {"model": {f"module.{n}": t for n, t in tensors.items()}, "epoch": 299, "lr": 1e-5}
    file = write(tmp_path / "SReT_T_last.pth", run)
    loaded = checkpoints.load(file, architecture="sret_t_wo_slice")
    assert len(loaded.card.source["notes"]) == 2
    assert_logits(loaded, images, recorded)
