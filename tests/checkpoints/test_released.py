import math

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
    assert {len(checkpoints.list_weights(f"{a}.*")) for a in ("resnet18", "resnet34")} == {7}


@pytest.mark.parametrize("card", ROWS.values(), ids=ROWS)
def test_every_row_is_whole(card):
    assert card.name == f"{card.architecture}.{card.name.partition('.')[2]}"
    assert card.parameters == zoo.model_info(card.architecture).parameters
    assert card.source == {
        "kind": "hub",
        "repo": f"timm/{card.name}",
        "revision": None,
        "file": "model.safetensors",
        "sha256": None,
    }
    assert card.license in ("apache-2.0", "bsd-3-clause", "cc-by-nc-4.0")
    assert 0.65 < card.metrics["top1"] < 0.85
    test = card.metrics["test"]
    assert test is None or test["image_size"] > card.preprocess.image_size
    assert checkpoints.Card.from_json(card.to_json()) == card
    assert math.floor(card.preprocess.image_size / card.preprocess.crop_pct) > 0


def test_a_row_by_heart():
    card = checkpoints.weights_info("resnet50.tv2_in1k")
    assert (card.license, card.num_classes, card.parameters) == ("bsd-3-clause", 1000, 25_557_032)
    assert card.preprocess == checkpoints.Preprocess(176, 0.875, "bilinear")
    assert card.metrics["top1"] == 0.7943
    assert card.metrics["test"] == {"top1": 0.8085, "image_size": 224, "crop_pct": 0.965}
    assert card.class_names is None
    half = checkpoints.weights_info("resnet34.ra4_e3600_r224_in1k").preprocess
    assert half.mean == half.std == (0.5, 0.5, 0.5)


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
        ("qqq", r"^'qqq' is no directory and no name of `checkpoints.list_weights\(\)`\.$"),
    ],
)
def test_unknown_names(name, message):
    for ask in (checkpoints.weights_info, checkpoints.load):
        with pytest.raises(UsageError, match=message):
            ask(name)
