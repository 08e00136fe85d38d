"""Crops, mirrors and affine maps: pure in the generator, exact where the geometry is."""

import math

import numpy as np
import pytest

from train.augment import geometry
from train.augment.geometry import affine, linear_map, random_resized_crop, warp
from train.augment.operation import picture_of, pixels


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
    operation = affine(rotate=30.0, scale=0.25, translate=0.5)
    draws = [operation.draw(np.random.default_rng(seed), (8, 8)) for seed in range(500)]
    sizes = [math.sqrt(np.linalg.det(linear)) for linear, _ in draws]
    angles = [math.degrees(math.atan2(linear[1, 0], linear[0, 0])) for linear, _ in draws]
    shifts = np.array([shift for _, shift in draws])
    for values, low, high in ((sizes, 0.8, 1.25), (angles, -30, 30), (shifts, -0.5, 0.5)):
        spread = (high - low) / 20
        assert low <= np.min(values) < low + spread
        assert high - spread < np.max(values) <= high
    np.testing.assert_allclose(linear_map(0.0, 45.0, 2.0), [[2, 2], [0, 2]])


def test_crops_keep_their_area_and_lie_inside():
    draw = random_resized_crop(scale=(0.25, 0.5), ratio=(0.5, 2.0))
    boxes = np.array([draw(np.random.default_rng(seed), (800, 600)) for seed in range(500)])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [800, 600]).all()
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    np.testing.assert_array_less(abs(width * height / 480_000 - 0.375), 0.126)
    assert 0.498 < (width / height).min() < 0.55
    assert 1.9 < (width / height).max() < 2.005
    assert boxes[:, 0].max() > 500


def test_a_crop_without_room_is_the_largest_in_the_middle():
    draw = random_resized_crop(scale=(0.9, 1.0))
    for size, box in (((60, 3), (28, 0, 32, 3)), ((3, 60), (0, 28, 3, 32))):
        assert draw(np.random.default_rng(0), size) == box


@pytest.mark.parametrize(
    ("flip", "mirrored"),
    [
        (geometry.horizontal_flip, lambda image: image[:, ::-1]),
        (geometry.vertical_flip, lambda image: image[::-1]),
    ],
)
def test_a_share_of_the_images_is_mirrored(flip, mirrored, photograph):
    picture = picture_of(photograph)

    def count(probability):
        operation, found = flip(probability), 0
        for seed in range(200):
            drawn = operation.draw(np.random.default_rng(seed), picture.size)
            result = pixels(operation.apply(picture, drawn))
            expected = mirrored(photograph) if drawn else photograph
            np.testing.assert_array_equal(result, expected)
            found += drawn
        return found

    assert count(0.0) == 0
    assert count(1.0) == 200
    assert 35 < count(0.25) < 65


def test_single_changes_move_as_they_say(photograph):
    picture = picture_of(photograph)
    right = pixels(geometry.translate_x(picture, 3.9, fill=9))
    np.testing.assert_array_equal(right[:, 3:], photograph[:, :-3])
    assert (right[:, :3] == 9).all()
    down = pixels(geometry.translate_y(picture, -2.9))
    np.testing.assert_array_equal(down[:-2], photograph[2:])
    sheared = pixels(geometry.shear_x(picture, 1.0))
    np.testing.assert_array_equal(sheared[5, :-6], photograph[5, 6:])
    turned = pixels(geometry.rotate(picture_of(photograph[:40, :40]), 90.0))
    np.testing.assert_array_equal(turned, np.rot90(photograph[:40, :40]))
