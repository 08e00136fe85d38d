"""`python -m scripts.released --pin`, on loopback: what is seen of a file is recorded, and held."""

import json
import re
from dataclasses import replace
from datetime import date
from urllib.parse import urlsplit

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

import checkpoints
import zoo
from checkpoints import build, fingerprint, released
from jax_functional_zoo.__main__ import main
from scripts import released as script
from tests.checkpoints.keras_files import write_h5
from tests.checkpoints.torch_files import write
from zoo.errors import UsageError

ROWS = json.loads((script.PACKAGE / "released.json").read_text(encoding="utf-8"))
HUB = "resnet10t.c3_in1k"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`package(row)`: makes a catalogue of this row alone, and says what is in it now."""
    path = tmp_path / "package" / "released.json"
    path.parent.mkdir()
    monkeypatch.setattr(released, "_package", lambda: path.parent)

    def forget():
        released._shipped.cache_clear()
        released._published.cache_clear()

    def package(row=None):
        if row is not None:
            path.write_text(released.as_text([row]), encoding="utf-8")
            forget()
        return json.loads(path.read_text(encoding="utf-8"))[0]

    yield package
    forget()


@pytest.fixture(autouse=True)
def quick_answers(monkeypatch):
    """Two numbers of the weights instead of a forward pass, whose compilation takes minutes."""

    def answer(model, variables, images):
        sums = [jnp.sum(leaf) for leaf in jax.tree.leaves(variables)]
        return np.asarray([sums, [2 * s for s in sums]], np.float32)

    monkeypatch.setattr(fingerprint, "answer", answer)


def body_of(name, seed, tmp_path):
    """A file as the publisher of a row writes it, with random numbers."""
    card = checkpoints.weights_info(name)
    model = build.create_model(card)
    variables = zoo.init_variables(model, jax.random.key(seed), build.images(card, model))
    tensors = checkpoints.export_weights(model, variables, card.format)
    if card.format == "timm":
        return save(tensors)
    if card.format == "keras":
        return write_h5(tmp_path / "x.h5", tensors).read_bytes()
    return write(tmp_path / "x.pth", tensors).read_bytes()


def row_of(name):
    return next(row for row in ROWS if row["name"] == name)


def test_a_row_of_the_hub_is_pinned_and_held(hub, package, tmp_path, capsys):
    before = package(row_of(HUB))
    assert released.pinned(checkpoints.weights_info(HUB)).startswith("no: nobody has recorded")
    digest = hub.add(f"timm/{HUB}", "model.safetensors", body_of(HUB, 0, tmp_path))
    assert script.pin("resnet10t.*") == 0
    assert "1 of 1 pinned" in capsys.readouterr().out
    row = package()
    assert row["source"] == before["source"] | {
        "sha256": digest,
        "revision": hub.commit,
        "checked_on": row["source"]["checked_on"],
    }
    assert (date.today() - date.fromisoformat(row["source"]["checked_on"])).days in (-1, 0, 1)
    assert row["fingerprint"]["input"] == [2, 176, 176, 3]
    assert {k: v for k, v in row.items() if k not in ("source", "fingerprint")} == {
        k: v for k, v in before.items() if k not in ("source", "fingerprint")
    }
    assert "checked on 2" in released.pinned(checkpoints.weights_info(HUB))

    hub.add(f"timm/{HUB}", "model.safetensors", body_of(HUB, 1, tmp_path))  # the same commit
    with pytest.raises(UsageError, match=f"was changed: its SHA-256 is .*, expected {digest}"):
        checkpoints.load(HUB, cache_dir=tmp_path / "cache")
    assert script.pin(HUB) == 1
    assert "was changed" in capsys.readouterr().out
    assert package() == row


def test_a_hub_out_of_reach_changes_nothing(package, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    before = package(row_of(HUB))
    assert script.pin() == 1
    said = capsys.readouterr().out
    assert f"{HUB}: not pinned. model.safetensors of timm/{HUB} is not in the cache" in said
    assert package() == before
    assert script.pin("nothing.*") == 1


def test_what_only_a_person_can_download_is_said_and_left(package, capsys):
    before = package(next(row for row in ROWS if row["format"] == "sret"))
    assert script.pin() == 1
    assert "cannot be downloaded by a program" in capsys.readouterr().out
    assert package() == before


def test_a_wheel_is_pinned(package, tmp_path):
    name = "tf_efficientnet_lite0.pip_in1k"
    row = row_of(name)
    package(row | {"fingerprint": None, "source": row["source"] | {"checked_on": None}})
    assert script.pin() == 0
    source = package()["source"]
    assert (source["revision"], source["sha256"]) == ("0.1.0", row["source"]["sha256"])
    assert source["checked_on"] is not None
    package(row | {"source": row["source"] | {"sha256": "0" * 64}})
    with pytest.raises(UsageError, match="is not the file that is meant"):
        checkpoints.load(name, cache_dir=tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("resnet18.imagenet1k_v1", "nasnetamobile.imagenet", "tnt_s_patch16_224.huawei_in1k"),
        "simplenetv1_small_m1_05.in1k",
    ],
)
def test_addresses_are_pinned_under_their_real_file_names(
    hub, package, name, tmp_path, monkeypatch
):
    row = package(row_of(name))
    file = urlsplit(row["source"]["url"]).path.rpartition("/")[2]
    body = body_of(name, 0, tmp_path)
    # Nobody can make another file of the digits that are in the name, or of a stated MD5.
    monkeypatch.setattr("checkpoints.download._digits", lambda _: "")
    url = {"url": f"{hub.content_host}/content/{file}", "md5": None}
    package(row | {"source": row["source"] | url})
    hub.served[file] = body
    assert script.pin() == 0
    source = package()["source"]
    assert re.fullmatch("[0-9a-f]{64}", source["sha256"])
    assert source["revision"] is None
    hub.served[file] = body[:-1] + b"!"
    with pytest.raises(UsageError, match=f"was changed: its SHA-256 is .*{source['sha256']}"):
        checkpoints.load(name, cache_dir=tmp_path / "cache")


def test_another_answer_than_was_recorded_is_not_pinned(hub, package, tmp_path, capsys):
    row = package(row_of(HUB))
    hub.add(f"timm/{HUB}", "model.safetensors", body_of(HUB, 0, tmp_path))
    assert script.pin() == 0
    row = package()
    wrong = row["fingerprint"] | {
        "mean": row["fingerprint"]["mean"] + row["fingerprint"]["largest"]
    }
    package(row | {"fingerprint": wrong})
    assert script.pin() == 1
    assert "outputs differ by" in capsys.readouterr().out


def test_unpinned_rows_say_so(package, capsys):
    package(row_of(HUB))
    assert main(["weights", HUB]) == 0
    assert re.search(r"checked on +\n.*hub +never +\n", capsys.readouterr().out, re.DOTALL)
    assert main(["info", HUB, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["pinned"]
    assert said == "no: nobody has recorded its SHA-256, and a changed file would not be noticed"


def test_what_is_said_of_pins():
    card = checkpoints.weights_info("resnet18.imagenet1k_v1")
    assert released.pinned(card).startswith("in part, by the first digits of the SHA-256 that its")
    known = replace(card, source=card.source | {"sha256": "0" * 64})
    assert released.pinned(known) == "yes, by its SHA-256; never run here"
