"""Names and arguments of augmentations, and what is short for some of them."""

import dataclasses

import pytest

from train.augment import NAMES, Augment, augmentation_of, shortened
from train.calls import Call
from train.config import Config
from zoo.errors import UsageError


def test_names_may_stand_in_any_order_but_a_crop_is_first():
    calls = [Call("vertical_flip"), Call("random_resized_crop"), Call("repeated", {"views": 2})]
    augment = augmentation_of(calls)
    assert augment.crop is not None
    assert (len(augment.operations), augment.views, augment.scaled) == (1, 2, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("randagument", "did you mean 'randaugment'"),
        ("randaugment:magnitud=3", "no argument 'magnitud'; did you mean 'magnitude'"),
        ("randaugment:magnitude=31", "'magnitude' must be from 0 to 30, got 31"),
        ("randaugment:num_ops=1.5", "'num_ops' must be int, got 1.5"),
        ("randaugment:num_magnitude_bins=1", "'num_magnitude_bins' must be from 2 up, got 1"),
        ("randaugment:fill=256", "'fill' must be from 0 to 255, got 256"),
        ("trivialaugment:interpolation=bilnear", "did you mean 'bilinear'"),
        ("autoaugment:policy=cifar", "did you mean 'cifar10'"),
        ("augmix:severity=11", "'severity' must be from 1 to 10, got 11"),
        ("augmix:alpha=0", "'alpha' must be from 0.001 up, got 0"),
        ("color_jitter:hue=0.6", "'hue' must be from 0 to 0.5, got 0.6"),
        ("color_jitter:brightness=much", "'brightness' must be float, got 'much'"),
        ("random_erasing:probability=2", "'probability' must be from 0 to 1, got 2"),
        ("random_erasing:fill=mean", "'fill' must be int, got 'mean'"),
        ("random_erasing:scale=0.5", "'scale' must be tuple[float, float], got 0.5"),
        ("random_resized_crop:scale=[0.5,0.2]", "'scale' must be two numbers in their order"),
        ("random_resized_crop:ratio=[0,2]", "'ratio' must be two numbers in their order, above 0"),
        ("padded_crop:padding=-1", "'padding' must be from 0 up, got -1"),
        ("random_crop:share=1.5", "'share' must be from 0.001 to 1, got 1.5"),
        ("cutout:size=0", "'size' must be from 1 up, got 0"),
        ("randaugment_increasing:magnitude=11", "'magnitude' must be from 0 to 10.0, got 11"),
        ("affine:rotate=181", "'rotate' must be from 0 to 180, got 181"),
        ("horizontal_flip:p=0.5", "no argument 'p'; there are probability"),
        ("repeated:views=0", "'views' must be from 1 up, got 0"),
        ("scaled_decoding:factor=2", "no argument 'factor'; there is none"),
    ],
)
def test_wrong_names_and_arguments_are_a_sentence(text, words):
    with pytest.raises(UsageError, match="augment") as refused:
        augmentation_of([Call.parsed(text)])
    assert words in str(refused.value)


def test_what_can_be_given_once_is_given_once():
    crops = [Call("random_resized_crop"), Call("random_resized_crop", {"scale": [0.5, 1.0]})]
    with pytest.raises(UsageError, match="random_resized_crop twice"):
        augmentation_of(crops)
    assert len(augmentation_of([Call("randaugment"), Call("randaugment")]).operations) == 2


SHORT = [
    Augment(),
    Augment(flip=True),
    Augment(crop=0.25),
    Augment(rotate=10.0, shear=2.0),
    Augment(rotate=10.0, translate=0.1, scale=0.1, shear=5.0, flip=True, crop=0.3),
]


@pytest.mark.parametrize("short", SHORT)
def test_the_short_form_is_found_again(short):
    rest = (Call("randaugment"), Call("horizontal_flip"), Call("affine", {"rotate": 1.0}))
    assert shortened(short.calls) == (short, ())
    assert shortened((*short.calls, *rest)) == (short, rest) or short.flip == bool(short.calls)
    assert Config(augment=short) == Config(augment=short.calls)
    assert dataclasses.replace(Config(augment=short), augment=Augment()).augment == ()


def test_calls_that_have_no_short_form_stay():
    for call in (
        Call("random_resized_crop"),
        Call("random_resized_crop", {"scale": [0.3, 0.9]}),
        Call("horizontal_flip", {"probability": 0.3}),
        Call("affine", {"rotate": 3.0, "fill": 9}),
        Call("random_resized_crop", {"scale": "all"}),
    ):
        assert shortened((call,)) == (Augment(), (call,))


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


def test_a_wrong_name_is_answered_with_all():
    with pytest.raises(UsageError) as refused:
        augmentation_of([Call("zoom")])
    for name in NAMES:
        assert name in str(refused.value)
