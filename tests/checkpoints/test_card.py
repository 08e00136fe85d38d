import json
from dataclasses import replace

import pytest

from checkpoints import Card, Preprocess
from checkpoints.card import current_versions
from checkpoints.retention import rank
from zoo.errors import UsageError


def test_json_gives_back_an_equal_card(card):
    assert Card.from_json(card.to_json()) == card


def test_bare_card_survives_json():
    card = Card("a.b", "a")
    assert Card.from_json(card.to_json()) == card
    assert card.preprocess == Preprocess()


def test_json_is_readable(card):
    text = card.to_json()
    assert text.count("\n") > 20
    assert "größer" in text
    assert json.loads(text)["preprocess"]["image_size"] == 16


def test_tuples_in_overrides_are_what_json_gives_back(card):
    card = replace(card, overrides={"stage_sizes": (1, 1, 1)})
    assert card.overrides == {"stage_sizes": [1, 1, 1]}
    assert Card.from_json(card.to_json()) == card


def test_overrides_that_json_cannot_hold_are_refused(card):
    with pytest.raises(UsageError, match="`overrides` of a card must hold JSON values only"):
        replace(card, overrides={"norm": print})


def test_class_names_must_agree_with_the_number_of_classes(card):
    with pytest.raises(UsageError, match="4 classes and 3 class names"):
        replace(card, num_classes=4)


def test_unknown_field_is_named():
    with pytest.raises(UsageError, match=r"no field 'licence'.*did you mean 'license'"):
        Card.from_json('{"name": "a", "architecture": "b", "licence": "mit"}')


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"name": 1'])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(UsageError, match="not the card"):
        Card.from_json(text)


def test_versions_name_what_wrote_the_arrays():
    assert {"python", "jax", "flax", "orbax-checkpoint"} <= set(current_versions())


def test_a_label_set_names_the_outputs_only_if_it_fits(card):
    card = replace(card, class_names=None, label_set="imagenet1k")
    assert card.labels is None
    assert replace(card, num_classes=1000).labels[1] == "goldfish"
    assert replace(card, num_classes=1000, label_set="of a later version").labels is None
    spelled_out = replace(card, num_classes=2, class_names=("cat", "dog"))
    assert spelled_out.labels == ("cat", "dog")


@pytest.mark.parametrize("value", [3, "x", [], True])
@pytest.mark.parametrize("field", ["overrides", "metrics", "versions", "source", "fingerprint"])
def test_fields_of_another_kind_are_refused(card, field, value):
    text = json.dumps(json.loads(card.to_json()) | {field: value})
    with pytest.raises(UsageError, match=f"not the card of a checkpoint: its `{field}` is"):
        Card.from_json(text)


def test_a_label_set_is_a_name_and_no_path(card):
    for name in ("../README", "/etc/hostname", "no_such_list"):
        other = replace(card, class_names=None, label_set=name)
        assert other.labels is None


def test_only_figures_rank():
    assert rank({"top1": 0.5, "loss": 2}) == (0.5, -2.0)
    assert rank({"loss": 2.0}) == (0.0, -2.0)
    for metrics in ({}, {"top1": 0.5}, {"top1": "0.5", "loss": 1}, {"top1": 1, "loss": None}):
        assert rank(metrics) is None
