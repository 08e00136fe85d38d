"""Test-time augmentation: which views there are, and that the mean of their answers counts."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import train
from checkpoints.preprocess import Preprocess, SequencePreprocess
from jax_functional_zoo.__main__ import main
from train.task import CLASSES, MULTILABEL, NUMBERS
from train.tta import viewed, views_of
from zoo.errors import UsageError

PHOTOS = Preprocess(image_size=8, crop_pct=0.8)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)


def test_names_multiply():
    assert [len(views_of(n)) for n in ("flip", "five_crop", "flip,five_crop", "flip, flip")] == [
        *(2, 5, 10, 2)
    ]
    assert len(set(views_of("vertical_flip,five_crop,flip"))) == 20


def test_views_are_the_plain_one_mirrors_and_corners(image):
    plain = PHOTOS(image)
    views = viewed(PHOTOS, "flip,vertical_flip")(image)
    assert (views.shape, viewed(PHOTOS, "flip,vertical_flip").shape) == ((4, 8, 8, 3),) * 2
    for view, expected in zip(
        views, (plain, plain[::-1], plain[:, ::-1], plain[::-1, ::-1]), strict=True
    ):
        np.testing.assert_array_equal(view, expected)
    whole = PHOTOS.normalize(image)
    crops = viewed(PHOTOS, "five_crop")(image)
    corners = (whole[:8, :8], whole[-8:, :8], whole[:8, -8:], whole[-8:, -8:])
    for view, expected in zip(crops, (plain, *corners), strict=True):
        assert any((view == one).all() for one in (plain, *corners))
        assert any((one == expected).all() for one in crops)
    assert len(np.unique(crops, axis=0)) == 5


def test_five_crops_of_what_is_seen_whole_are_of_a_larger_image():
    square = np.random.default_rng(0).integers(0, 256, (16, 16, 1), np.uint8)
    preprocess = Preprocess(image_size=16, crop_pct=1.0, mean=(0.5,), std=(0.5,))
    assert len(np.unique(viewed(preprocess, "five_crop")(square), axis=0)) == 5
    np.testing.assert_array_equal(viewed(preprocess, "flip")(square)[0], preprocess(square))


@pytest.mark.parametrize("task", [CLASSES, MULTILABEL, NUMBERS])
def test_answers_of_averaged_outputs_are_mean_answers(task):
    outputs = 5 * jax.random.normal(jax.random.key(0), (7, 4, 3))
    found = task.answers(task.averaged(outputs))
    np.testing.assert_allclose(found, task.answers(outputs).mean(0), rtol=1e-5, atol=1e-7)
    far = task.averaged(jnp.array([[[500.0, -500.0]], [[600.0, -400.0]]]))
    assert jnp.isfinite(far).all()


@pytest.fixture(scope="module")
def loaded():
    return checkpoints.load("resnet8.digits")


def test_predictions_are_the_mean_and_so_are_evaluations(loaded):
    data = train.load_dataset("zoo_digits", "test[:40]")
    images = [data[i]["input"] for i in range(40)]
    model, variables = loaded.model, loaded.variables
    found = train.predict(model, variables, images, preprocess=loaded.preprocess, tta="flip")
    each = [
        train.predict(model, variables, chosen, preprocess=loaded.preprocess)
        for chosen in (images, [np.ascontiguousarray(x[:, ::-1]) for x in images])
    ]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    labels = np.array([data[i]["label"] for i in range(40)])
    for size in (16, 256):  # a padded batch, and one on all devices
        metrics = train.evaluate(
            *(model, variables, data),
            preprocess=loaded.preprocess,
            batch_size=size,
            tta="flip",
        )
        assert metrics["top1"] == pytest.approx((found.argmax(1) == labels).mean())
        assert metrics["loss"] == pytest.approx(-np.log(found[range(40), labels]).mean(), rel=1e-4)
        assert metrics["count"] == 40


def test_commands_take_it(capsys, pictures):
    evaluate = ["evaluate", "--weights", "resnet8.digits", "--split", "test[:40]", "--json"]
    found = []
    for option in ([], ["--tta", "flip,five_crop"]):
        assert main([*evaluate, *option]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["count"] == found[1]["count"] == 40
    assert found[0]["loss"] != found[1]["loss"]
    picture = str(next(pictures.rglob("*.png")))
    predict = ["predict", picture, "--weights", "resnet8.digits", "--tta"]
    assert main([*predict, "vertical_flip"]) == 0
    for command in (evaluate, predict[:-1]):
        assert main([*command, "--tta", "flop"]) == 2
        assert "did you mean 'flip'" in capsys.readouterr().err


def test_a_run_may_measure_so(tmp_path):
    config = train.Config(
        weights="resnet8.digits",
        dataset="zoo_digits",
        eval_split="test[:16]",
        steps=1,
        evaluations={"mirrored": train.Evaluation(split="test[:16]", tta="flip")},
        out=str(tmp_path / "run"),
    )
    metrics = train.fit(config).metrics
    assert metrics["mirrored/count"] == 16
    assert metrics["mirrored/loss"] != metrics["loss"]


def test_series_have_no_views():
    with pytest.raises(UsageError, match="`tta` is for images"):
        viewed(SequencePreprocess(mean=(0.0,), std=(1.0,), length=3), "flip")
