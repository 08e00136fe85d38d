"""Cards, configurations and manifests that no program of ours has written: one sentence each.

Whoever publishes a checkpoint makes its manifest fit, so hashes are no help here.
"""

import hashlib
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import checkpoints
import zoo
from checkpoints import Card, Preprocess, build, manifest, store, timm_hub
from checkpoints.retention import rank
from zoo.errors import UsageError

DEEP = 100_000
LONG = "x" * (2 << 20)


def nested(depth, inner="1"):
    return "[" * depth + inner + "]" * depth


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A sound checkpoint of a network with every kind of field that JSON can hold."""
    model = zoo.create_model("resnet8", num_classes=3, width=8, stage_sizes=[1])
    image = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)
    card = Card(
        name="resnet8.test",
        architecture="resnet8",
        overrides={"width": 8, "stage_sizes": [1]},
        num_classes=3,
        class_names=("cat", "dog", "größer"),
        preprocess=Preprocess(16, 1.0, "bilinear", (0.5,), (0.25,)),
        metrics={"top1": 0.9, "loss": 0.5},
    )
    variables = zoo.init_variables(model, jax.random.key(0), image)
    return checkpoints.save(tmp_path_factory.mktemp("x") / "x", variables, card)


@pytest.fixture
def published(original, tmp_path):
    """`published(card=..., manifest=...)`: a copy with other texts, and hashes that fit."""

    def write(card=None, change=lambda listed: listed, text=None):
        copy = shutil.copytree(original, tmp_path / "copy")
        if card is not None:
            (copy / "card.json").write_bytes(card.encode())
        listed = json.loads((copy / manifest.NAME).read_text())
        listed["files"] |= {"card.json": entry((copy / "card.json").read_bytes())}
        changed = change(listed)
        (copy / manifest.NAME).write_text(json.dumps(changed) if text is None else text)
        return copy

    return write


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    """Tracing is slow where every shape is checked; the networks here have some fifty modules."""
    monkeypatch.setattr(build, "_MOST_CALLS", 300)


def entry(body):
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def refused(place, *, longest=2000):
    """The one sentence that a load ends with."""
    with pytest.raises(UsageError) as error:
        checkpoints.load(place)
    message = str(error.value)
    assert len(message) < longest
    return message


def test_the_checkpoint_that_is_spoilt_below_is_sound(published):
    loaded = checkpoints.load(published())
    assert loaded.model.stage_sizes == (1,)
    assert isinstance(hash(loaded.model), int)


# Cards

FIELDS = {
    "name": [3, None, ["x"], LONG],
    "architecture": [3, None, [], {}, "", LONG, "resnet8\0", "../resnet8", "resnet8.digits"],
    "num_classes": [0, -1, 10**9, 10**300, 1.5, "3", True, [3]],
    "class_names": [3, "cat", [1, 2, 3], {"a": 1}, [["a"]] * 3, ["cat"], [None] * 3],
    "label_set": [3, [], LONG],
    "metrics": [3, [1], "x"],
    "source": [3, [1], "x"],
    "license": [3, {}, LONG],
    "trained_on": [3, []],
    "parameters": ["x", 1.5],
    "fingerprint": [3, [1]],
    "paper": [3],
    "notes": [3, LONG],
    "versions": [3, {"jax": 3}],
    "preprocess": [3, [], None, "x"],
    "overrides": [3, [], None, "x"],
}


@pytest.mark.parametrize(
    ("field", "value"), [(f, v) for f, values in FIELDS.items() for v in values], ids=str
)
def test_fields_of_a_card(original, field, value):
    values = json.loads((original / "card.json").read_text()) | {field: value}
    with pytest.raises(UsageError) as error:
        build.create_model(Card.from_json(json.dumps(values)))
    assert len(str(error.value)) < 2000


OVERRIDES = [
    {"stage_sizes": [1_000_000]},
    {"stage_sizes": [1000] * 100},
    {"stage_sizes": [10**9]},
    {"stage_sizes": [10**300]},
    {"stage_sizes": [-1]},
    {"stage_sizes": []},
    {"stage_sizes": [0] * 200_000},
    {"stage_sizes": [1.0]},
    {"stage_sizes": [True]},
    {"stage_sizes": 1},
    {"stage_sizes": [[1]]},
    {"stage_sizes": {"0": 1}},
    {"stage_sizes": None},
    {"width": 10**9},
    {"width": 1 << 17},
    {"width": 0},
    {"width": -8},
    {"width": 8.0},
    {"width": float("nan")},
    {"width": float("inf")},
    {"width": LONG},
    {"groups": 7},
    {"drop_path": 1e300},
    {"drop_path": float("nan")},
    {"drop_path": -1},
    {"remat": 1},
    {"norm": "os.system"},
    {"block_cls": ["BasicBlock"]},
    {"dtype": "int8"},
    {"dtype": LONG},
    {"num_classes": 4},
    {LONG: 3},
    {"name": "x"},
    {"parent": None},
]


@pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda o: str(o)[:40])
def test_overrides_of_a_card(published, original, overrides):
    card = json.loads((original / "card.json").read_text())
    card["overrides"] |= overrides
    refused(published(json.dumps(card)), longest=9000)


def test_a_seed_may_be_any_number():
    card = Card("x", "lssl_nano", {"permutation_seed": 20_240_131}, 10)
    assert build.create_model(card).permutation_seed == 20_240_131


ELSEWHERE = [
    ("tnt_nano", {"depth": 10**5}),
    ("tnt_nano", {"image_size": 10**9}),
    ("tnt_nano", {"image_size": [16]}),
    ("tnt_nano", {"image_size": [1 << 16, 1 << 16]}),
    ("tnt_nano", {"mlp_ratio": 1e9}),
    ("tnt_nano", {"heads": 0}),
    ("sret_nano", {"recursions": [1000] * 3}),
    ("sret_nano", {"image_size": [25_000, 25_000]}),
    ("sret_nano", {"slices": [10**6, 1, 1]}),
    ("sret_nano", {"shared_blocks": [1]}),
    ("nasnet_nano", {"cells": [40_000] * 3}),
    ("nasnet_nano", {"cells": []}),
    ("nasnet_nano", {"genotype": {"normal": 1, "reduction": 2}}),
    ("nasnet_nano", {"genotype": []}),
    ("nasnet_nano", {"filters": 1 << 17}),
    ("inception_nano", {"stages": [["stem", [["conv", {"features": 3}]]]]}),
    ("lssl_nano", {"state_size": 1 << 18}),
    ("lssl_nano", {"dt_range": [0.1]}),
    ("lssl_nano", {"learn": "everything"}),
    ("hopfield_encoder_nano", {"length": 10**9}),
    ("hopfield_encoder_nano", {"heads": 7}),
    ("hopfield_mil_nano", {"widths": [1 << 17, 1 << 17]}),
]


@pytest.mark.parametrize(("architecture", "overrides"), ELSEWHERE, ids=str)
def test_overrides_of_other_families(architecture, overrides):
    """Whatever the numbers are, no array is made and no network of millions of modules traced."""
    info = zoo.model_info(architecture)
    statistics = (0.5,) * info.channels
    preprocess = Preprocess(info.image_size, mean=statistics, std=statistics)
    card = Card("x", architecture, overrides, info.num_classes, preprocess=preprocess)
    with pytest.raises(UsageError) as error:
        shapes_of(card)
    assert len(str(error.value)) < 9000


def shapes_of(card):
    shapes = build.abstract_variables(build.create_model(card), card)
    return build.filled(shapes, {"params": {}})


PREPROCESS = [
    {"image_size": 10**9},
    {"image_size": 0},
    {"image_size": 16.0},
    {"image_size": "16"},
    {"image_size": [16, 16]},
    {"image_size": True},
    {"image_size": None},
    {"crop_pct": 1e-9},
    {"crop_pct": float("nan")},
    {"crop_pct": "1"},
    {"crop_pct": 10**400},
    {"interpolation": LONG},
    {"interpolation": 3},
    {"interpolation": "random"},
    {"crop_mode": "border"},
    {"crop_mode": None},
    {"mean": []},
    {"mean": 0.5},
    {"mean": ["0.5"]},
    {"mean": [float("nan")]},
    {"mean": [float("inf")]},
    {"mean": [0.5] * 5000, "std": [0.5] * 5000},
    {"std": [0]},
    {"std": [-1]},
    {"std": [0.5, 0.5]},
    {"std": [[0.5]]},
    {"length": 10**12},
    {"length": -1},
    {"length": "x"},
    {"side": 3},
    {LONG: 3},
]


@pytest.mark.parametrize("changes", PREPROCESS, ids=lambda c: str(c)[:40])
def test_preprocessing_of_a_card(original, changes):
    values = json.loads((original / "card.json").read_text())
    values["preprocess"] |= changes
    with pytest.raises(UsageError) as error:
        Card.from_json(json.dumps(values))
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "3",
        '"x"',
        "[]",
        "{}",
        "NaN",
        nested(DEEP),
        '{"name": "a", "architecture": "b", "overrides": {"x": ' + nested(300) + "}}",
        '{"name": "a", "architecture": "b", "overrides": {"x": ' + nested(900) + "}}",
        '{"name": "a", "architecture": "b", "preprocess": {"mean": ' + nested(300) + "}}",
        '{"name": "a", "architecture": "b", "source": ' + '{"a":' * 300 + "1" + "}" * 302,
        '{"name": "a", "architecture": "b", "metrics": ' + nested(DEEP) + "}",
        '{"name": "a", "architecture": "b", "metrics": {"x": ' + nested(DEEP) + "}}",
        '{"name": "a", "architecture": "b", "num_classes": ' + "9" * 5000 + "}",
        '{"name": "a", "architecture": "b", "no_such_field": 1}',
        '{"name": "a", "architecture": "b", "' + LONG + '": 1}',
        '{"name": "a", "architecture": "b"',
        '{"name": "a"}',
    ],
    ids=lambda text: f"{text[:50]}...{len(text)}",
)
def test_texts_that_are_no_cards(text):
    with pytest.raises(UsageError, match="not the card of a checkpoint") as error:
        Card.from_json(text)
    assert len(str(error.value)) < 2000


def test_figures_that_are_none_do_not_rank(original):
    values = json.loads((original / "card.json").read_text())
    for metrics in ({"top1": float("nan"), "loss": 1}, {"top1": 10**400, "loss": 1}):
        card = Card.from_json(json.dumps(values | {"metrics": metrics}))
        assert rank(card.metrics) is None


# Manifests


def without(*names):
    """A manifest that omits what begins with the names."""

    def change(listed):
        kept = {k: v for k, v in listed["files"].items() if not k.startswith(names)}
        return listed | {"files": kept}

    return change


def replaced(**fields):
    return lambda listed: listed | fields


LEAF = "params/head/kernel"

MANIFESTS = {
    "no card": without("card.json"),
    "no arrays": without("arrays/"),
    "no parameters": without("arrays/params/"),
    "one file less": without("arrays/_CHECKPOINT_METADATA"),
    "nothing": without(""),
    "files are a list": replaced(files=[]),
    "files are a number": replaced(files=3),
    "entries are numbers": lambda m: m | {"files": dict.fromkeys(m["files"], 3)},
    "entries are empty": lambda m: m | {"files": {name: {} for name in m["files"]}},
    "sizes are texts": lambda m: (
        m | {"files": {n: e | {"size": "1"} for n, e in m["files"].items()}}
    ),
    "sizes are negative": lambda m: (
        m | {"files": {n: e | {"size": -1} for n, e in m["files"].items()}}
    ),
    "hashes are numbers": lambda m: (
        m | {"files": {n: e | {"sha256": 1} for n, e in m["files"].items()}}
    ),
    "a file elsewhere": lambda m: m | {"files": m["files"] | {"../../x": entry(b"")}},
    "an absolute file": lambda m: m | {"files": m["files"] | {"/etc/hostname": entry(b"")}},
    "a file with a zero": lambda m: m | {"files": m["files"] | {"a\0b": entry(b"")}},
    "a file that is not there": lambda m: m | {"files": m["files"] | {"arrays/x": entry(b"")}},
    "no leaves": replaced(leaves={}),
    "leaves are a list": replaced(leaves=[]),
    "leaves are numbers": lambda m: m | {"leaves": dict.fromkeys(m["leaves"], 3)},
    "a leaf of another shape": lambda m: (
        m | {"leaves": m["leaves"] | {LEAF: "float32[1000000000]"}}
    ),
    "a leaf more": lambda m: m | {"leaves": m["leaves"] | {"params/x": "float32[1]"}},
    "many leaves more": lambda m: (
        m | {"leaves": m["leaves"] | {f"params/{i}": "" for i in range(10**4)}}
    ),
    "another format": replaced(format=2),
    "a format of megabytes": replaced(format=LONG),
    "a format that is none": replaced(format=None),
    "another place": replaced(content="../x"),
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS)
def test_manifests(published, change):
    refused(published(change=change), longest=9000)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "null", "{}", nested(DEEP), nested(300), '{"format": ' + nested(DEEP) + "}"],
    ids=len,
)
def test_texts_that_are_no_manifests(published, text):
    refused(published(text=text))


def test_a_file_that_nobody_vouches_for(original, published):
    """Only what lies beside the manifest, where people leave notes, is nobody's business."""
    copy = published()
    (copy / "README.md").write_text("mine")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "x").touch()
    checkpoints.load(copy)
    (copy / "arrays" / "params" / "x").touch()
    assert "arrays/params/x is not listed in manifest.json" in refused(copy)


def test_arrays_that_are_none(published, tmp_path):
    """Files that fit their hashes and are nothing that Orbax has written."""
    copy = published()
    listed = json.loads((copy / manifest.NAME).read_text())
    for name in listed["files"]:
        if name.startswith("arrays/params/") and "METADATA" in name:
            (copy / name).write_bytes(b"{}")
            listed["files"][name] = entry(b"{}")
    (copy / manifest.NAME).write_text(json.dumps(listed))
    assert "cannot be read" in refused(copy)


def test_arrays_that_are_far_larger_than_their_files(published, monkeypatch):
    """A few kilobytes of compressed zeros would fill the memory."""
    copy = published()
    monkeypatch.setattr(store.restoring, "_SMALL", 1000)
    monkeypatch.setattr(store.restoring, "_DENSEST", 0)
    assert "no weights are compressed that much" in refused(copy)


# Configurations of the hub


CONFIG = {
    "architecture": "resnet8",
    "num_classes": 3,
    "label_names": ["cat", "dog", "hamster"],
    "global_pool": "avg",
    "model_args": {"num_classes": 3, "in_chans": 3},
    "pretrained_cfg": {
        "input_size": [3, 40, 40],
        "interpolation": "bilinear",
        "crop_pct": 0.9,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.1],
        "license": "mit",
        "pool_size": [7, 7],
        "first_conv": "conv1",
        "classifier": "fc",
        "fixed_input_size": False,
        "crop_mode": "center",
    },
}


@pytest.fixture
def folder(tmp_path):
    """`folder(config)`: a downloaded repository."""

    def write(text):
        (tmp_path / "repository").mkdir()
        (tmp_path / "repository" / "config.json").write_text(text)
        return tmp_path / "repository"

    return write


def changed(**changes):
    """The configuration with other values, wherever the names stand in it."""
    config = json.loads(json.dumps(CONFIG))
    for name, value in changes.items():
        places = [config, config["model_args"], config["pretrained_cfg"]]
        for place in [place for place in places if name in place] or [config["pretrained_cfg"]]:
            place[name] = value
    return config


CONFIGS = [
    ({"architecture": 3}, "`architecture` must be a text"),
    ({"architecture": LONG}, "no architecture"),
    ({"architecture": "resnet50.a1_in1k"}, "is a set of weights"),
    ({"num_classes": -1}, "`num_classes` must be from 0"),
    ({"num_classes": 10**9}, "`num_classes` must be from 0"),
    ({"num_classes": "3"}, "`num_classes` must be an integer"),
    ({"num_classes": True}, "`num_classes` must be an integer"),
    ({"label_names": ["cat"]}, "`label_names` has 1 names and the model 3"),
    ({"label_names": "cat"}, "`label_names` must be a list"),
    ({"label_names": [1, 2, 3]}, "`label_names` must be a list"),
    ({"global_pool": "max"}, "`global_pool` is 'max'"),
    ({"global_pool": ""}, "`global_pool` is ''"),
    ({"global_pool": "token"}, "pools with 'avg'"),
    ({"global_pool": 3}, "`global_pool` must be a text"),
    ({"crop_mode": "border"}, "`crop_mode` must be center or squash"),
    ({"crop_mode": 3}, "`crop_mode` must be a text"),
    ({"input_size": [3, 40, 48]}, "`input_size` is 40x48"),
    ({"input_size": [3, 40]}, "`input_size` must be a list of 3"),
    ({"input_size": 224}, "`input_size` must be a list of 3"),
    ({"input_size": [3, 10**9, 10**9]}, "`image_size` must be from 1"),
    ({"input_size": [3, -40, -40]}, "`image_size` must be from 1"),
    ({"in_chans": 10**9}, "`channels` must be from 1"),
    ({"in_chans": 0}, "`channels` must be from 1"),
    ({"in_chans": "3"}, "`in_chans` must be an integer"),
    ({"interpolation": "random"}, "`interpolation` must be one of"),
    ({"interpolation": LONG}, "`interpolation` must be one of"),
    ({"crop_pct": 0.0001}, "`crop_pct` must be above 0"),
    ({"crop_pct": float("nan")}, "`crop_pct` must be a number"),
    ({"crop_pct": 2}, "`crop_pct` must be above 0"),
    ({"mean": [0.5, 0.5]}, "`mean` has 2 values, and images 3"),
    ({"mean": []}, "`mean` has 0 values"),
    ({"std": [0.5, 0.5, 0]}, "`std` must be positive"),
    ({"std": [0.5, 0.5, float("nan")]}, "`std` must be a number or a list"),
    ({"mean": LONG}, "`mean` must be a number or a list"),
    ({"fixed_input_size": "yes"}, "`fixed_input_size` must be true or false"),
    ({"license": 3}, "`license` must be a text"),
    ({"model_args": []}, "`model_args` must be an object"),
    ({"pretrained_cfg": 3}, "`pretrained_cfg` must be an object"),
    ({"model_args": {"block_args": {"x": LONG}}}, "does not translate"),
    ({"model_args": {LONG: 3}}, "does not translate"),
    ({"model_args": {"num_classes": 4}}, "`num_classes` is 3 and 4"),
    ({"model_args": {"img_size": [40, 48]}}, "`img_size` is 40x48"),
    ({"model_args": {"img_size": 40}}, "has no field 'image_size'"),
    ({"model_args": {"img_size": 10**300}}, "has no field 'image_size'"),
]


@pytest.mark.parametrize(("changes", "message"), CONFIGS, ids=lambda value: str(value)[:40])
def test_configurations(folder, changes, message):
    config = CONFIG | changes if changes.keys() & {"model_args", "pretrained_cfg"} else None
    assert message in refused(folder(json.dumps(config or changed(**changes))))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "null",
        "{}",
        nested(DEEP),
        '{"architecture": ' + nested(DEEP) + "}",
        '{"architecture": "resnet8", "model_args": {"img_size": ' + nested(300) + "}}",
        " " * (9 << 20),
    ],
    ids=len,
)
def test_texts_that_are_no_configurations(folder, text):
    assert "is not that of a timm model" in refused(folder(text))


def test_a_configuration_of_another_library(folder):
    text = json.dumps({"model_type": "resnet", "architectures": ["ResNetForImageClassification"]})
    assert "it is of another library's 'resnet'" in refused(folder(text))


@pytest.mark.parametrize("size", [24, 10**9])
def test_a_table_of_positions_is_of_one_size(folder, size):
    config = {"architecture": "tnt_nano", "model_args": {"img_size": 32}, "global_pool": "token"}
    config |= {"pretrained_cfg": {"input_size": [3, size, size]}}
    assert "the model is built for 32" in refused(folder(json.dumps(config)))


def described(folder, **changes):
    return timm_hub.described(folder(json.dumps(changed(**changes))) / "config.json")


def test_what_is_honoured(folder):
    card = described(
        folder,
        crop_mode="squash",
        mean=0.5,
        std=[0.2],
        in_chans=5,
        num_classes=0,
        label_names=None,
        global_pool="fastavg",
    )
    assert card.preprocess.crop_mode == "squash"
    assert card.preprocess.channels == 5
    assert set(card.preprocess.mean) == {0.5}
    assert card.num_classes is None


def test_images_of_a_fixed_size(folder):
    config = {"architecture": "tnt_nano", "global_pool": "token"}
    config |= {"pretrained_cfg": {"input_size": [3, 48, 48], "fixed_input_size": True}}
    card = timm_hub.described(folder(json.dumps(config)) / "config.json")
    assert card.overrides == {"image_size": 48}
    assert card.preprocess.image_size == 48


def test_a_file_for_other_images_than_the_configuration_says(folder):
    model = zoo.create_model("resnet8", num_classes=3)
    image = jax.ShapeDtypeStruct((1, 40, 40, 1), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(0), image)
    place = folder(json.dumps(CONFIG))
    tensors = checkpoints.export_weights(model, jax.tree.map(np.asarray, variables))
    save_file(tensors, place / "model.safetensors")
    assert (
        "differs:    params/stem/conv/kernel is (3, 3, 1, 16), expected (3, 3, 3, 16)"
        in refused(place)
    )
