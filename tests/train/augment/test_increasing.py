"""Crops of fixed size, squares that are hidden, and timm's form of RandAugment."""

import numpy as np
import pytest
from PIL import Image

from train.augment.augmentation import Augmentation
from train.augment.colour import solarize_add
from train.augment.erasing import cutout
from train.augment.geometry import padded_crop, random_crop
from train.augment.increasing import SIGNED, UNSIGNED, randaugment_increasing
from train.augment.operation import picture_of, pixels

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)


@pytest.mark.parametrize("shift", [(2, -1), (-4, 4), (0, 0)])
def test_a_padded_crop_is_a_crop_of_the_padded_picture(shift):
    operation = padded_crop(4, fill=7)
    padded = np.pad(RAMP, ((4, 4), (4, 4), (0, 0)), constant_values=7)
    top, left = 4 - shift[1], 4 - shift[0]
    found = pixels(operation.apply(picture_of(RAMP), shift))
    np.testing.assert_array_equal(found, padded[top : top + 8, left : left + 8])


def test_a_crop_of_fixed_size_may_lie_anywhere():
    crop, rng = random_crop(0.75), np.random.default_rng(0)
    boxes = [crop(rng, (8, 4)) for _ in range(200)]
    assert {(right - left, low - top) for left, top, right, low in boxes} == {(6, 3)}
    assert {left for left, *_ in boxes} == {0, 1, 2}
    assert {top for _, top, *_ in boxes} == {0, 1}


def test_cutout_hides_a_square_around_any_pixel():
    operation, rng = cutout(4, fill=255), np.random.default_rng(0)
    for _ in range(50):
        drawn = operation.draw(rng, (8, 8))
        hidden = pixels(operation.apply(picture_of(RAMP), drawn)) == 255
        assert hidden.sum() == drawn.height * drawn.width
        assert 2 <= drawn.height <= 4


def test_dark_pixels_become_lighter():
    picture = Image.fromarray(np.array([[0, 100, 127, 128, 250]], np.uint8))
    np.testing.assert_array_equal(
        np.asarray(solarize_add(picture, 60.0)), [[60, 160, 187, 128, 250]]
    )
    assert solarize_add(Image.new("RGB", (1, 1), (10, 130, 20)), 5.0).getpixel((0, 0)) == (
        15,
        130,
        25,
    )


def test_all_changes_grow_with_the_magnitude():
    """timm's ranges at magnitude 5 of 10, for pictures of 100 by 200 pixels."""
    size = (100, 200)
    found = {n: make(0.5, size) for n, make in (SIGNED | UNSIGNED).items()}
    assert found["rotate"] == 15
    assert found["brightness"] == found["sharpness"] == 0.45
    assert found["shear_x"] == 0.15
    assert (found["translate_x"], found["translate_y"]) == (22.5, 45)
    assert (found["posterize"], found["solarize_add"]) == (2, 55)
    assert round(found["solarize"] * 255) == 128
    for name, make in UNSIGNED.items():
        if name in ("posterize", "solarize"):  # fewer bits and a lower threshold change more
            assert make(1.0, size) < make(0.1, size)


def test_magnitudes_are_drawn_and_changes_left_out():
    operation, rng = randaugment_increasing(4, 9.5, 1.0, 0.25), np.random.default_rng(0)
    drawn = [operation.draw(rng, (32, 32)) for _ in range(2000)]
    assert np.mean([len(changes) for changes in drawn]) == pytest.approx(1.0, abs=0.08)
    turns = np.abs([v for changes in drawn for n, v in changes if n == "rotate"])
    assert turns.max() == 30  # the edge
    assert 27 < turns.mean() < 28.5
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8))
    for changes in drawn[:60]:
        assert operation.apply(picture, changes).size == (32, 32)
    plain = Augmentation(operations=(randaugment_increasing(probability=0.0),))
    assert plain.operations[0].draw(rng, (32, 32)) == []
