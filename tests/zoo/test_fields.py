"""What the fields of networks take, from Python and from JSON."""

import dataclasses
import json
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.catalogue import CATALOGUE
from zoo.errors import UsageError, closest, shown
from zoo.fields import annotations, check_fields, frozen

MODELS = {type(row.build()): name for name, row in reversed(CATALOGUE.items())}


def values(model):
    """The fields of a module by name."""
    names = [f.name for f in dataclasses.fields(model) if f.name not in ("parent", "name")]
    return {name: getattr(model, name) for name in names}


@pytest.mark.parametrize("name", MODELS.values(), ids=lambda name: name)
def test_json_gives_back_a_model_that_can_be_hashed(name):
    """Tuples went to the card as lists; every family takes its own fields back from there."""
    model = zoo.create_model(name)
    known = values(model)
    if "genotype" in known:
        known["genotype"] = zoo.nasnet.genotype_to_json(known["genotype"])
    kept = {k: v for k, v in known.items() if k != "stages" and not callable(v)}
    again = zoo.create_model(name, **json.loads(json.dumps(kept)))
    assert again == model
    assert hash(again) == hash(model)


@pytest.mark.parametrize("name", MODELS.values(), ids=lambda name: name)
def test_every_row_takes_its_own_fields(name):
    for row in (n for n in CATALOGUE if type(CATALOGUE[n].build()) is type(zoo.create_model(name))):
        check_fields(type(CATALOGUE[row].build()), row, values(CATALOGUE[row].build()))


def test_lists_become_tuples_however_deep():
    assert frozen([1, [2, [3]], (4, [5])]) == (1, (2, (3,)), (4, (5,)))
    point = zoo.nasnet.Edge("identity", 0)
    assert frozen([point])[0] is point


WRONG = {
    int: ("x", 1.5, True, [1], {}, -1),
    float: ("x", [0.1], None, math.nan, True),
    bool: ("x", 1, None),
    str: (1, ["x"], None),
}


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_values_of_another_type_are_one_sentence(kind):
    for field, annotation in annotations(kind).items():
        for value in WRONG.get(annotation, ()):
            with pytest.raises(UsageError, match=f"`{field}` of {MODELS[kind]} must be"):
                zoo.create_model(MODELS[kind], **{field: value})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("resnet8", {"stage_sizes": 3}, "a list, each of it an integer"),
        ("resnet8", {"stage_sizes": [1, "x"]}, "a list, each of it an integer"),
        ("resnet8", {"stage_sizes": "111"}, "a list, each of it an integer"),
        ("resnet8", {"num_classes": 0}, "at least 1, or None"),
        ("resnet8", {"num_classes": -3}, "at least 0"),
        ("resnet8", {"drop_path": 1.0}, "at least 0 and below 1"),
        ("lssl_nano", {"dropout": -0.1}, "at least 0 and below 1"),
        ("resnet8", {"norm": "BatchNorm"}, "a callable, which only Python can give"),
        ("resnet8", {"dtype": "float33"}, "the name of a floating-point dtype"),
        ("resnet8", {"dtype": "int8"}, "the name of a floating-point dtype"),
        ("lssl_nano", {"dt_range": [0.1]}, "a list of 2: a number, a number"),
        ("tnt_nano", {"image_size": 2.5}, "an integer or a list, each of it an integer"),
        ("resnet8", {"width": "x" * 10**6}, r"an integer, got 'xxx.*\.\.\.x*'\.$"),
    ],
)
def test_what_a_field_wants_is_said(name, values, message):
    with pytest.raises(UsageError, match=message):
        zoo.create_model(name, **values)


def test_numbers_of_numpy_and_dtypes_by_name_are_taken():
    kind = type(zoo.create_model("resnet8"))
    check_fields(kind, "resnet8", {"num_classes": np.int64(3), "drop_path": np.float32(0.1)})
    check_fields(kind, "resnet8", {"drop_path": 0})
    assert jnp.dtype(zoo.create_model("resnet8", dtype="bfloat16").dtype) == jnp.bfloat16
    assert isinstance(zoo.create_model("resnet8").norm, Callable)


def test_long_names_are_cut_and_looked_up_in_no_time():
    with pytest.raises(UsageError) as refused:
        zoo.create_model("x" * 10**6)
    assert len(str(refused.value)) < 300
    assert closest("x" * 10**6, ["x"]) == ""
    assert len(shown({"a": ["b" * 1000] * 1000})) < 1000
