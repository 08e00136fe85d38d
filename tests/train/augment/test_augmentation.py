"""What holds of every augmentation, by its name."""

import concurrent.futures

import numpy as np
import pytest
from PIL import Image

from checkpoints.preprocess import Preprocess
from train.augment import NAMES, Augment, augmentation_of
from train.augment.colour import color_jitter, hue, posterize
from train.augment.erasing import random_erasing
from train.augment.operation import picture_of, pixels
from train.augment.spaces import COLOURED, GEOMETRIC
from train.augment.table import OPERATIONS
from train.calls import Call

GREY = Preprocess(image_size=8, crop_pct=1.0, mean=(0.5,), std=(0.5,))
COLOUR = Preprocess(image_size=32, crop_pct=0.875, interpolation="bilinear")
ARGUMENTS = {
    "affine": {"rotate": 20, "translate": 0.2, "scale": 0.3, "shear": 10},
    "cutout": {"size": 4},
    "random_erasing": {"probability": 1, "noise": True},
    "color_jitter": {"hue": 0.2},
}
CHANGING = [name for name in NAMES if name not in ("repeated", "scaled_decoding")]
ALL = tuple(Call(name, ARGUMENTS.get(name, {})) for name in CHANGING)


def calls_of(name):
    return ALL if name == "all" else [call for call in ALL if call.name == name]


def test_without_calls_nothing_happens(photograph, digit):
    rng = np.random.default_rng(0)
    for augment in (augmentation_of(()), Augment()):
        np.testing.assert_array_equal(augment(digit, rng, GREY), digit)
        np.testing.assert_array_equal(augment(photograph, rng, COLOUR), COLOUR.resize(photograph))


@pytest.mark.parametrize("name", [*CHANGING, "all"])
@pytest.mark.parametrize("preprocess", [GREY, COLOUR])
def test_results_are_pixels_and_a_function_of_the_generator(name, preprocess, photograph):
    augment = augmentation_of(calls_of(name))
    before = photograph.copy()

    def draw(seed):
        return augment(photograph, np.random.default_rng(seed), preprocess)

    results = [draw(seed) for seed in range(12)]
    assert {(r.shape, r.dtype.name, r.flags.c_contiguous) for r in results} == {
        (preprocess.shape, "uint8", True)
    }
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(list(pool.map(draw, range(12))), results)
    np.testing.assert_array_equal(photograph, before)
    assert len(np.unique(results, axis=0)) > 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", [*GEOMETRIC, *COLOURED])
def test_changes_of_no_magnitude_are_none(name, mode, photograph):
    picture = Image.fromarray(photograph // 2 + 20).convert(mode)
    change = {**GEOMETRIC, **COLOURED}[name]
    least = {"posterize": 8.0, "solarize": 1.0}.get(name, 0.0)
    changed = change(picture, least)
    assert (changed.size, changed.mode) == (picture.size, mode)
    same = pixels(changed) == pixels(picture)
    if name in ("autocontrast", "equalize", "invert"):
        assert not same.all()
    else:  # only white itself is inverted at the highest threshold
        assert same[pixels(picture) < 255].all()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("affine", {}),
        ("color_jitter", dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0)),
        ("random_erasing", {"probability": 0}),
        ("horizontal_flip", {"probability": 0}),
        ("randaugment", {"num_ops": 0}),
    ],
)
def test_operations_of_no_strength_are_none(name, arguments, photograph):
    augment = augmentation_of([Call(name, arguments)])
    for seed in range(5):
        result = augment(photograph, np.random.default_rng(seed), COLOUR)
        np.testing.assert_array_equal(result, COLOUR.resize(photograph))


@pytest.mark.parametrize("alpha", [0.1, 1, 10])
def test_a_mixture_of_equals_is_what_is_mixed(alpha):
    level = picture_of(np.full((9, 7, 3), 203, np.uint8))
    operation = OPERATIONS["augmix"](alpha=float(alpha), severity=1)
    for seed in range(20):
        drawn = operation.draw(np.random.default_rng(seed), level.size)
        total = drawn.kept + sum(drawn.weights)
        plain = drawn._replace(chains=tuple((("identity", 0.0),) for _ in drawn.chains))
        assert total == pytest.approx(1)
        assert (pixels(operation.apply(level, plain)) == 203).all()


def test_erased_areas_are_exact(photograph):
    operation = random_erasing(1.0, scale=(0.1, 0.2), ratio=(0.5, 2.0), fill=3)
    picture = picture_of(np.full_like(photograph, 200))
    shares = []
    for seed in range(200):
        drawn = operation.draw(np.random.default_rng(seed), picture.size)
        hidden = (pixels(operation.apply(picture, drawn)) == 3).all(axis=-1)
        assert hidden.sum() == drawn.height * drawn.width
        assert hidden[drawn.top :, drawn.left :][: drawn.height, : drawn.width].all()
        shares.append(hidden.mean())
    assert 0.09 < min(shares) < 0.11
    assert 0.19 < max(shares) < 0.21


def test_noise_in_an_erased_area_is_uniform(photograph):
    operation = random_erasing(1.0, scale=(0.5, 0.6), noise=True)
    drawn = operation.draw(np.random.default_rng(0), (80, 60))
    noise = pixels(operation.apply(picture_of(photograph), drawn))
    inside = noise[drawn.top :, drawn.left :][: drawn.height, : drawn.width]
    assert abs(inside.mean() - 127.5) < 3
    assert abs(inside.std() - 73.9) < 3


def test_jitter_draws_factors_in_any_order():
    operation = color_jitter(brightness=0.5, contrast=2.0, saturation=0.0, hue=0.1)
    draws = [operation.draw(np.random.default_rng(seed), (8, 8)) for seed in range(200)]
    assert {tuple(sorted(name for name, _ in draw)) for draw in draws} == {
        ("brightness", "contrast", "hue")
    }
    assert len({tuple(name for name, _ in draw) for draw in draws}) == 6
    for name, low, high in (("brightness", 0.5, 1.5), ("contrast", 0, 3), ("hue", -0.1, 0.1)):
        values = [dict(draw)[name] for draw in draws]
        assert low <= min(values) < low + (high - low) / 10
        assert high - (high - low) / 10 < max(values) <= high


def test_hues_turn_in_a_circle(photograph):
    red = picture_of(np.tile(np.array([200, 0, 0], np.uint8), (4, 4, 1)))
    assert pixels(hue(red, 1 / 3))[0, 0].argmax() == 1
    assert pixels(hue(red, -1 / 3))[0, 0].argmax() == 2
    assert hue(red.convert("L"), 0.3) == red.convert("L")
    assert np.unique(pixels(posterize(picture_of(photograph), 2.0))).tolist() == [0, 64, 128, 192]
    assert (pixels(posterize(red, 0.0)) == 0).all()
