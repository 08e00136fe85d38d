"""Bags of digits: what is in them, and from where."""

import io
from itertools import combinations, islice

import numpy as np
import pytest
from PIL import Image

from train.data import digits
from train.data.digit_bags import SIDE, SQUARES, WANTED, ZooDigitBags


def instances(png):
    """The squares of a sheet that are not blank, as bytes."""
    sheet = np.asarray(Image.open(io.BytesIO(png)))
    squares = sheet.reshape(SQUARES, SIDE, SQUARES, SIDE).swapaxes(1, 2).reshape(-1, SIDE, SIDE)
    return [square.tobytes() for square in squares if square.any()]


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """For each split, instances and label of the first 300 bags."""
    builder = ZooDigitBags(data_dir=str(tmp_path_factory.mktemp("bags")))
    return {
        split: [(instances(bag["image"]), bag["label"]) for _, bag in islice(made, 300)]
        for split, made in builder._split_generators(None).items()
    }


def test_splits_share_no_digit(bags):
    seen = {split: {x for bag, _ in made for x in bag} for split, made in bags.items()}
    assert set(seen) == {"train", "validation", "test"}
    assert all(len(digits_of) >= 300 for digits_of in seen.values())
    for one, other in combinations(seen.values(), 2):
        assert not one & other


def test_a_label_says_whether_there_is_a_nine(bags):
    images, labels = digits.load()
    digit = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for bag, label in (pair for made in bags.values() for pair in made):
        assert 6 <= len(bag) <= SQUARES**2
        nines = sum(digit[x] == WANTED for x in bag)
        assert nines in ((1, 2) if label else (0,))
