"""What recipes for ImageNet and CIFAR share: augmentations and preprocessings by their names."""

from typing import Any

from train.calls import Call

FLIP = Call("horizontal_flip")
CROP = Call("random_resized_crop")  # 8 to 100 % of the area
PADDED = Call("padded_crop", {"padding": 4})
# Szegedy et al. 2015: crops from 5 % of the area, and all of the colours distorted.
INCEPTION = (
    Call("random_resized_crop", {"scale": [0.05, 1.0]}),
    FLIP,
    Call("color_jitter", {"brightness": 0.125, "contrast": 0.5, "saturation": 0.5, "hue": 0.2}),
)
HALVES: dict[str, Any] = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}  # pixels from -1 to 1
CIFAR: dict[str, Any] = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.247, 0.2435, 0.2616]}


def padded_by_32(size: int) -> dict[str, Any]:
    """The crop of TensorFlow's evaluations: 32 pixels more than the input, of which it is cut."""
    return {"crop_pct": size / (size + 32)}
