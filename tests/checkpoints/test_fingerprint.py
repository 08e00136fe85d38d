"""The probe, the numbers that are kept of its answer, and those of the weights that ship."""

import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from checkpoints import fingerprint, record, released, store
from zoo.errors import UsageError

PROBE = [-0.9769064784049988, -0.5169016122817993]
SHIPPED = [name for name in checkpoints.list_weights() if released.shipped_directory(name)]
FAST = ("resnet8.digits", "hopfield_mil_nano.digit_bags")


def test_the_probe_is_its_formula():
    words = np.random.Philox(key=0).random_raw(24).tolist()
    expected = [(word // 2**11) / 2**52 - 1 for word in words]
    found = fingerprint.probe((2, 3, 4))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), np.float32(expected))
    assert found.ravel()[:2].tolist() == PROBE  # of NumPy's generator, which must not change
    assert fingerprint.probe(()).shape == ()


def test_the_numbers_are_their_formulas():
    outputs = np.array([[1, -4, 2, 0, 9], [3, 1, 1, 1, 1]], np.float32)
    found = fingerprint.of(np.zeros((2, 8, 8, 1), np.float32), outputs)
    assert (found["input"], found["output"]) == ([2, 8, 8, 1], [2, 5])
    assert (found["largest"], found["mean"]) == (9, 1.5)
    assert found["rms"] == pytest.approx(math.sqrt(115 / 10), rel=1e-7)
    projection = float((outputs * fingerprint.probe((2, 5))).sum() / math.sqrt(10))
    assert found["projection"] == pytest.approx(projection, rel=1e-6)
    assert found["first"] == [[1, -4, 2, 0], [3, 1, 1, 1]]
    assert json.loads(json.dumps(found)) == found


@pytest.fixture
def digits():
    loaded = checkpoints.load("resnet8.digits")
    images = fingerprint.probe_of(loaded.card)
    return images, fingerprint.answer(loaded.model, loaded.variables, images), loaded.card


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y + 1e-4,
        lambda y: y * (1 + 1e-4),
        lambda y: y[:, ::-1],
        lambda y: y[:, [0, 1, 2, 3, 4, 5, 6, 7, 9, 8]],
        lambda y: y[::-1],
        lambda y: np.where(np.arange(10) == 7, y + 1e-2, y),
    ],
    ids=["shifted", "scaled", "reversed", "two classes swapped", "rows swapped", "one class"],
)
def test_other_outputs_are_told_apart(digits, change):
    images, outputs, card = digits
    assert fingerprint.error(fingerprint.of(images, outputs), card.fingerprint) < 1e-5
    other = fingerprint.of(images, np.asarray(change(outputs), np.float32))
    assert fingerprint.error(other, card.fingerprint) > 1e-5


def test_what_cannot_be_compared_is_said(digits):
    images, outputs, card = digits
    found = fingerprint.of(images, outputs)
    with pytest.raises(
        UsageError, match=r"output of shape \[2, 10\], and the network has \[2, 9\]"
    ):
        fingerprint.error(fingerprint.of(images, outputs[:, :9]), card.fingerprint)
    for wrong in ({}, {"input": [2, 8, 8, 1]}, found | {"first": None}):
        with pytest.raises(UsageError, match="not of a form that is known"):
            fingerprint.error(found, wrong)
    with pytest.raises(UsageError, match="infinities or NaN"):
        fingerprint.of(images, outputs * np.nan)


def test_sequence_models_have_a_looser_tolerance(card):
    assert fingerprint.tolerance(card) == 1e-5
    assert fingerprint.tolerance(replace(card, architecture="lssl_nano")) == 1e-4


def test_everything_that_ships_has_a_fingerprint():
    assert len(SHIPPED) >= 8
    for name in SHIPPED:
        card = checkpoints.weights_info(name)
        assert card.fingerprint["input"] == list(fingerprint.probe_of(card).shape)


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in SHIPPED]
)
def test_what_ships_answers_as_recorded(name):
    loaded = checkpoints.load(name)
    images = fingerprint.probe_of(loaded.card)
    found = fingerprint.of(images, fingerprint.answer(loaded.model, loaded.variables, images))
    assert fingerprint.error(found, loaded.card.fingerprint) < 1e-5


@pytest.mark.parametrize("options", [{"num_classes": 4}, {"in_channels": 3}, {"image_size": 16}])
def test_another_network_has_no_fingerprint_yet(options):
    card = checkpoints.load("resnet8.digits", **options).card
    assert (card.fingerprint, card.metrics) == (None, {})


# Recording


@pytest.fixture
def directory(card, tmp_path):
    model = zoo.create_model("resnet8", num_classes=3, width=8)
    image = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)
    return checkpoints.save(
        tmp_path / "x", zoo.init_variables(model, jax.random.key(5), image), card
    )


def test_a_card_is_rewritten_and_the_arrays_are_not(directory, card):
    before = {p: p.read_bytes() for p in (directory / "arrays").rglob("*") if p.is_file()}
    record.write(directory, card, {"mean": 1.5})
    store.verify(directory)
    assert store.read_card(directory) == replace(card, fingerprint={"mean": 1.5})
    assert before == {p: p.read_bytes() for p in before}
    assert [p.name for p in directory.parent.iterdir()] == ["x"]


def test_a_damaged_checkpoint_is_not_made_whole_by_recording(directory, card):
    file = next(p for p in (directory / "arrays").rglob("d/*"))
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(UsageError, match="is damaged"):
        record.write(directory, card, {"mean": 1.5})
    assert store.read_card(directory) == card


def test_the_step_of_a_run_that_is_loaded_is_the_one_recorded(directory, card, tmp_path):
    run = tmp_path / "run"
    for step, top1 in ((5, 0.9), (40, 0.8)):
        evaluated = replace(card, metrics={"top1": top1, "loss": 1.0})
        checkpoints.save(store.step_path(run, step), {"params": {"w": jnp.ones(2)}}, evaluated)
    record.write(f"{run}@best", card, {"mean": 5})
    record.write(run, card, {"mean": 40})
    found = [store.read_card(path).fingerprint for _, path in store.steps(run)]
    assert found == [{"mean": 5}, {"mean": 40}]


def test_what_has_no_card_is_refused(tmp_path):
    (tmp_path / "x.safetensors").touch()
    for path in (tmp_path / "x.safetensors", "hf-hub:a/b", "gs://a/b"):
        with pytest.raises(UsageError, match="has no card to record a fingerprint in; make it a"):
            record.check(path)


def test_a_row_of_the_catalogue_is_completed(tmp_path, monkeypatch):
    """The fingerprint, and the content and commit that it was computed from."""
    rows = [
        {"name": f"{n}.a1_in1k", "architecture": n, "num_classes": 1000, "preprocess": {}}
        | {"source": {"kind": "hub", "repo": n, "revision": None, "file": "x", "sha256": None}}
        for n in ("resnet18", "resnet34")
    ]
    (tmp_path / "released.json").write_text(released.as_text(rows))
    monkeypatch.setattr(released, "_package", lambda: tmp_path)
    for function in (released._shipped, released._published):
        function.cache_clear()
    card = checkpoints.weights_info("resnet34.a1_in1k")
    seen = replace(card, source=card.source | {"sha256": "5a", "commit": "c0"})
    record.write("resnet34.a1_in1k", seen, {"mean": 1.5})
    found = checkpoints.weights_info("resnet34.a1_in1k")
    untouched = checkpoints.weights_info("resnet18.a1_in1k")
    for function in (released._shipped, released._published):
        function.cache_clear()
    assert found.fingerprint == {"mean": 1.5}
    recorded = {"sha256": "5a", "revision": "c0", "checked_on": found.source["checked_on"]}
    assert found.source == card.source | recorded
    assert untouched.fingerprint is None
    assert [p.name for p in tmp_path.iterdir()] == ["released.json"]
