"""What a person is told before much of the pictures is lost."""

import numpy as np
import pytest

import train
from checkpoints.preprocess import Preprocess, SequencePreprocess
from train import seen

GREY = {"mean": (0.5,), "std": (0.5,)}


@pytest.mark.parametrize(
    ("shape", "preprocess", "words"),
    [
        ((96, 128, 3), Preprocess(8, **GREY), "colour pictures of 128x96 are seen as 8x8 in grey;"),
        ((96, 128, 3), Preprocess(32), "colour pictures of 128x96 are seen as 32x32;"),
        ((99, 99, 1), Preprocess(8, **GREY), "warning: pets: pictures of 99x99 are seen as 8x8;"),
        ((8, 8, 3), Preprocess(8, **GREY), "colour pictures of 8x8 are seen as 8x8 in grey;"),
        ((3000, 4000, 3), Preprocess(224), None),
        ((8, 8, 1), Preprocess(8, **GREY), None),
        ((40, 40, 1), Preprocess(32), None),
    ],
)
def test_colours_and_pixels_are_missed(shape, preprocess, words):
    rng = np.random.default_rng(0)
    found = seen.lost_of([rng.integers(0, 256, shape, np.uint8)], preprocess, "pets")
    assert found is None if words is None else words in found


def test_series_are_no_pictures():
    wine = train.load_dataset("zoo_tables/wine", "test")
    assert seen.lost(wine, SequencePreprocess(length=1, mean=(0.0,) * 13, std=(1.0,) * 13)) is None


def test_of_a_data_set_some_pictures_are_looked_at(pictures):
    data = train.load_dataset(pictures, "all")
    words = "pictures: pictures of 40x40 are seen as 8x8;"  # all channels are the same
    assert words in seen.lost(data, Preprocess(8, **GREY)).replace(data.name, "pictures")
