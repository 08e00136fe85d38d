"""Large JPEG files decoded at less than their size: the same picture, to a level or two."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image
from sklearn.datasets import load_sample_image

import train
from checkpoints.pictures import opened
from checkpoints.preprocess import Preprocess
from train.augment import augmentation_of
from train.augment.augmentation import resized_crop
from train.augment.decoding import decoded, needed, upright_size
from train.calls import Call
from train.data.dataset import few_shot

SMALL = Preprocess(image_size=32, crop_pct=0.875)
CROP = Call("random_resized_crop", {"scale": [0.3, 1.0]})
SCALED = Call("scaled_decoding")


def saved(picture, orientation=None, kind="jpeg"):
    """The file of a picture that is seen upright, as a camera held otherwise writes it."""
    turned = {None: None, 6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}[orientation]
    exif, buffer = Image.Exif(), io.BytesIO()
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
        picture = picture.transpose(turned)
    picture.save(buffer, kind, quality=95, exif=exif)
    return buffer


@pytest.fixture(scope="module")
def large():
    return Image.fromarray(load_sample_image("china.jpg"))  # 640 by 427


@pytest.mark.parametrize(
    ("spare", "factor"), [(0.5, 1), (3.9, 1), (4, 2), (7.9, 2), (8, 4), (15, 4), (16, 8), (99, 8)]
)
def test_the_factor_is_a_power_of_two_that_leaves_enough(large, spare, factor):
    with opened(saved(large)) as image:
        picture, found = decoded(image, float(spare))
    assert found == factor
    assert picture.size == (-(-640 // factor), -(-427 // factor))
    with opened(saved(large, kind="png")) as image:
        assert decoded(image, float(spare))[0].size == (640, 427)


def test_what_is_needed_goes_by_what_is_seen():
    assert needed((640, 427), SMALL) == 427 / 36
    assert needed((640, 427), SMALL, (96, 200)) == 3


@pytest.mark.parametrize("orientation", [None, 3, 6])
@pytest.mark.parametrize("calls", [(), (CROP,)])
def test_pictures_are_those_of_decoding_whole(large, orientation, calls):
    file = saved(large, orientation)
    augment, full = augmentation_of((*calls, SCALED)), augmentation_of(calls)
    assert (augment.scaled, full.scaled) == (True, False)
    with opened(file) as image:
        assert upright_size(image) == large.size
    for seed in range(8):
        with opened(file) as image:
            result = augment(image, np.random.default_rng(seed), SMALL)
        expected = full(np.asarray(large), np.random.default_rng(seed), SMALL)
        apart = abs(result.astype(int) - expected)
        assert result.shape == (32, 32, 3)
        assert apart.mean() < 3, seed
    assert apart.any()  # or it was decoded whole


def test_a_crop_sees_nothing_from_outside(large):
    image = np.zeros((64, 64), np.uint8)
    image[16:48, 8:40] = 200
    for factor in (1, 2, 4):
        picture = Image.fromarray(image[::factor, ::factor])
        grey = Preprocess(image_size=8, mean=(0.5,), std=(0.5,), interpolation="bicubic")
        part = resized_crop(picture, (8, 16, 40, 48), factor, grey)
        assert np.unique(np.asarray(part)).tolist() == [200]


def test_folders_are_read_so(large, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            picture = large.rotate(i)
            picture.save(tmp_path / name / f"{i}.jpg", quality=90)
            picture.save(tmp_path / name / f"{i}.png")
    data = train.load_dataset(str(tmp_path), "all")
    for view in (data, few_shot(data, 3, seed=0)):
        first = [
            next(train.train_batches(view, preprocess=SMALL, augment=augment, batch_size=6))
            for augment in (augmentation_of((CROP,)), augmentation_of((CROP, SCALED)))
        ]
        np.testing.assert_array_equal(first[0]["label"], first[1]["label"])
        apart = abs(first[0]["input"] - first[1]["input"])
        assert 0 < apart.mean() < 0.1
