"""Operations beside torchvision's, on the same draws: recorded here, played there."""

import numpy as np
import pytest
from PIL import Image

from checkpoints.preprocess import Preprocess
from train.augment import augmentation_of
from train.augment.table import OPERATIONS
from train.calls import Call

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

SEEDS = range(100)
SIZES = [(60, 80), (33, 20)]


@pytest.fixture(scope="module")
def reference():
    return pytest.importorskip("scripts.reference")


@pytest.fixture
def transforms(reference):
    from torchvision.transforms import v2

    return v2


class Played:
    """What PyTorch's random functions give: the draws of a list, each of the kind asked for."""

    def __init__(self, torch, drawn):
        self.torch, self.left = torch, list(drawn)
        self.own = torch.empty

    def next(self, kind):
        found, value = self.left.pop(0)
        assert found == kind
        return value

    def rand(self, *size):
        return self.torch.tensor(self.next("random"), dtype=self.torch.float64)

    def randint(self, *bounds, **options):
        return self.torch.tensor(int(self.next("integers")))

    def randperm(self, count):
        return self.torch.tensor(self.next("permutation"))

    def empty(self, *size, **options):
        return self if size == (1,) and not options else self.own(*size, **options)

    def uniform_(self, low, high):
        return self.torch.tensor(self.next("uniform"), dtype=self.torch.float64)

    def dirichlet(self, alphas):
        return self.torch.tensor(self.next("dirichlet"))[None]


@pytest.fixture
def played(reference, monkeypatch):
    """`played(transform, picture, drawn)`: what a transform of torchvision makes of the draws."""

    def play(transform, picture, drawn, left=0):
        torch = reference.torch
        source = Played(torch, drawn)
        with monkeypatch.context() as patched:
            for name in ("rand", "randint", "randperm", "empty"):
                patched.setattr(torch, name, getattr(source, name))
            patched.setattr(torch, "_sample_dirichlet", source.dirichlet)
            result = transform(picture)
        assert len(source.left) == left
        return result

    return play


def array(picture):
    return np.asarray(picture).reshape(picture.height, picture.width, -1)


def pictures(photograph):
    """In colour and grey, wide and tall."""
    for height, width in SIZES:
        yield Image.fromarray(photograph[:height, :width])
        yield Image.fromarray(photograph[:height, :width]).convert("L")


CASES = [
    ("horizontal_flip", {}, "RandomHorizontalFlip", {}),
    ("vertical_flip", {"probability": 0.3}, "RandomVerticalFlip", {"p": 0.3}),
    ("randaugment", {}, "RandAugment", {}),
    (
        "randaugment",
        {"num_ops": 3, "magnitude": 10, "num_magnitude_bins": 12, "interpolation": "bilinear"},
        "RandAugment",
        {"num_ops": 3, "magnitude": 10, "num_magnitude_bins": 12, "interpolation": "bilinear"},
    ),
    ("randaugment", {"magnitude": 30, "fill": 99}, "RandAugment", {"magnitude": 30, "fill": 99}),
    ("trivialaugment", {}, "TrivialAugmentWide", {}),
    ("trivialaugment", {"num_magnitude_bins": 9}, "TrivialAugmentWide", {"num_magnitude_bins": 9}),
    ("autoaugment", {}, "AutoAugment", {}),
    ("autoaugment", {"policy": "cifar10"}, "AutoAugment", {"policy": "cifar10"}),
    (
        "color_jitter",
        {"hue": 0.3},
        "ColorJitter",
        {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.3},
    ),
    (
        "color_jitter",
        {"brightness": 1.5, "contrast": 0.0, "saturation": 0.0},
        "ColorJitter",
        {"brightness": 1.5},
    ),
]


@pytest.mark.parametrize(("name", "ours", "theirs", "options"), CASES)
def test_pixels_are_equal_on_the_same_draws(
    name, ours, theirs, options, transforms, played, recorder, photograph
):
    if "policy" in options:
        options = {"policy": transforms.AutoAugmentPolicy(options["policy"])}
    operation, transform = OPERATIONS[name](**ours), getattr(transforms, theirs)(**options)
    changed = 0
    for picture in pictures(photograph):
        for seed in SEEDS:
            rng = recorder(seed)
            result = operation.apply(picture, operation.draw(rng, picture.size))
            expected = played(transform, picture, rng.drawn)
            np.testing.assert_array_equal(array(result), array(expected), err_msg=str(rng.drawn))
            changed += (array(result) != array(picture)).any()
    assert changed > len(SEEDS) / 2


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.9, 1.0)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_random_resized_crops(scale, interpolation, transforms, played, recorder, photograph):
    augment = augmentation_of([Call("random_resized_crop", {"scale": list(scale)})])
    mode = transforms.InterpolationMode(interpolation)
    transform = transforms.RandomResizedCrop(24, scale=scale, interpolation=mode)
    for picture in pictures(photograph):
        grey = {"mean": (0.5,), "std": (0.5,)} if picture.mode == "L" else {}
        preprocess = Preprocess(image_size=24, interpolation=interpolation, **grey)
        for seed in SEEDS:
            rng = recorder(seed)
            result = augment(array(picture), rng, preprocess)
            np.testing.assert_array_equal(result, array(played(transform, picture, rng.drawn)))


def test_random_erasing(reference, transforms, played, recorder, photograph):
    operation = OPERATIONS["random_erasing"](probability=0.6, scale=(0.02, 0.9), fill=7)
    transform = transforms.RandomErasing(0.6, scale=(0.02, 0.9), ratio=(0.3, 10 / 3), value=7)
    for picture in pictures(photograph):
        tensor = reference.torch.from_numpy(array(picture).transpose(2, 0, 1).copy())
        for seed in SEEDS:
            rng = recorder(seed)
            drawn = operation.draw(rng, picture.size)
            expected = played(transform, tensor, rng.drawn, left=drawn is not None)
            result = array(operation.apply(picture, drawn)).transpose(2, 0, 1)
            np.testing.assert_array_equal(result, expected.numpy())


@pytest.mark.parametrize("options", [{}, {"severity": 10, "alpha": 0.5, "all_ops": False}])
def test_augmix_differs_by_rounding_only(
    options, reference, transforms, played, recorder, photograph, monkeypatch
):
    """Where torchvision changes Pillow's pictures too: its own changes are of tensors."""
    functional = transforms.functional
    operation, transform = OPERATIONS["augmix"](**options), transforms.AugMix(**options)
    change = transform._apply_image_or_video_transform

    def changed(batch, name, magnitude, **options):
        if (name, magnitude) == ("Posterize", 0.0):  # which Pillow does not do
            return batch * 0
        picture = functional.to_pil_image(batch[0])
        return functional.pil_to_tensor(change(picture, name, magnitude, **options))[None]

    monkeypatch.setattr(transform, "_apply_image_or_video_transform", changed)
    for picture in pictures(photograph):
        for seed in list(SEEDS)[:40]:
            rng = recorder(seed)
            result = operation.apply(picture, operation.draw(rng, picture.size))
            expected = played(transform, picture, rng.drawn)
            below = array(result).astype(int) - array(expected)
            assert below.min() >= 0
            assert below.max() <= 1
