"""Random changes of one image: pure in the generator, exact where the geometry is."""

import math

import numpy as np
import pytest

from checkpoints.preprocess import Preprocess
from train.augment import Augment, warp
from zoo.errors import UsageError

GREY = Preprocess(image_size=8, crop_pct=1.0, mean=(0.5,), std=(0.5,))
COLOUR = Preprocess(image_size=32, crop_pct=0.875, interpolation="bilinear")


@pytest.fixture
def photograph():
    rows, columns = np.mgrid[0:60, 0:80]
    return np.stack([rows * 4, columns * 3, (rows + columns) % 256], -1).astype(np.uint8)


@pytest.fixture
def digit():
    image = np.zeros((8, 8, 1), np.uint8)
    image[2:6, 3:6] = 200
    return image


def test_without_settings_nothing_happens(photograph, digit):
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(Augment()(digit, rng, GREY), digit)
    np.testing.assert_array_equal(Augment()(photograph, rng, COLOUR), COLOUR.resize(photograph))


@pytest.mark.parametrize(
    "augment",
    [
        Augment(rotate=20.0),
        Augment(translate=0.3),
        Augment(scale=0.4),
        Augment(shear=20.0),
        Augment(crop=0.2),
        Augment(flip=True),
        Augment(rotate=10.0, translate=0.1, scale=0.1, shear=5.0, flip=True, crop=0.3),
    ],
)
@pytest.mark.parametrize("preprocess", [GREY, COLOUR])
def test_results_are_determined_by_the_generator(augment, preprocess, photograph):
    def draw(seed):
        return augment(photograph, np.random.default_rng(seed), preprocess)

    size = (preprocess.image_size, preprocess.image_size, preprocess.channels)
    results = [draw(seed) for seed in range(8)]
    assert {(r.shape, r.dtype.name, r.flags.c_contiguous) for r in results} == {
        (size, "uint8", True)
    }
    np.testing.assert_array_equal(draw(3), results[3])
    assert len(np.unique(results, axis=0)) > 1


def test_warps_are_about_the_centre(digit):
    quarter = np.array([[0, 1], [-1, 0]])
    np.testing.assert_array_equal(warp(digit, np.eye(2), np.zeros(2)), digit)
    turned = warp(digit, quarter, np.zeros(2))
    np.testing.assert_array_equal(turned[..., 0], np.rot90(digit[..., 0], -1))
    np.testing.assert_array_equal(warp(digit, -np.eye(2), np.zeros(2)), digit[::-1, ::-1])


def test_shifts_are_shares_of_the_side_and_bring_in_black(digit):
    shifted = warp(digit, np.eye(2), np.array([0.25, 0.0]))
    np.testing.assert_array_equal(shifted[:, :-2], digit[:, 2:])
    assert (shifted[:, -2:] == 0).all()


def test_affine_draws_stay_in_their_ranges():
    augment = Augment(rotate=30.0, scale=0.25)
    draws = [augment.affine(np.random.default_rng(seed)) for seed in range(500)]
    sizes = [math.sqrt(np.linalg.det(draw)) for draw in draws]
    angles = [math.degrees(math.atan2(draw[1, 0], draw[0, 0])) for draw in draws]
    assert 0.8 <= min(sizes) < 0.82
    assert 1.23 < max(sizes) <= 1.25
    assert -30 <= min(angles) < -28
    assert 28 < max(angles) <= 30


def test_crops_keep_their_area_and_lie_inside():
    augment = Augment(crop=0.25)
    boxes = [augment.crop_box(80, 60, np.random.default_rng(seed)) for seed in range(500)]
    boxes = np.array([box for box in boxes if box])
    assert len(boxes) > 400
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [80, 60]).all()
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    assert (width * height >= 0.25 * 80 * 60 * (1 - 1e-9)).all()
    assert (width / height).min() >= 0.75 - 1e-9
    assert (width / height).max() <= 4 / 3 + 1e-9


def test_a_crop_without_room_falls_back_to_the_centre():
    line = np.zeros((1, 60, 3), np.uint8)
    result = Augment(crop=0.9)(line, np.random.default_rng(0), COLOUR)
    assert result.shape == (32, 32, 3)


def test_half_of_the_images_are_mirrored(digit):
    augment = Augment(flip=True)
    results = [augment(digit, np.random.default_rng(seed), GREY) for seed in range(200)]
    mirrored = sum((result == digit[:, ::-1]).all() for result in results)
    assert 75 < mirrored < 125


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rotate": -1.0}, "`rotate` must be from 0 to 180, got -1.0"),
        ({"translate": 2.0}, "`translate` must be from 0 to 1, got 2.0"),
        ({"shear": 90.0}, "`shear` must be from 0 to 89, got 90.0"),
        ({"crop": 0.0}, "`crop` must be above 0 and at most 1, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        Augment(**setting)
