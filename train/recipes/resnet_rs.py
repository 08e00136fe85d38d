"""Bello et al. 2021, "Revisiting ResNets": https://arxiv.org/abs/2103.07579, table 8.

`zoo train --recipe resnetrs50.in1k`; sizes, dropout and stochastic depth of each depth as in the
authors' configs (tensorflow/tpu, models/official/resnet/resnet_rs). The rate is 0.1 for every 256
images.

Said otherwise: their RandAugment has a space of its own, whose magnitudes are tenths; 15, which the
larger networks have, is more than the strongest of ours, and is the strongest here.
"""

from train.calls import Call
from train.config import Config, OptimizerConfig
from train.recipes.imagenet import CROP, FLIP, padded_by_32
from train.recipes.recipe import Recipe

STRONGEST = Call("randaugment", {"num_ops": 2, "magnitude": 10, "num_magnitude_bins": 11})
SGD = OptimizerConfig(
    optimizer="sgd:nesterov=false",
    learning_rate=1.6,
    schedule="cosine",
    warmup="5epochs",
    weight_decay=4e-5,
    clip_norm=None,
    label_smoothing=0.1,
)
# Depth: side of the images, stochastic depth, top-1.
PUBLISHED = {
    50: (160, 0.0, 0.788),
    101: (192, 0.0, 0.812),
    152: (256, 0.0, 0.830),
    200: (256, 0.1, 0.834),
}


def recipe(depth: int) -> Recipe:
    """The network of a depth, at the size at which it was published."""
    size, drop_path, top1 = PUBLISHED[depth]
    config = Config(
        model=f"resnetrs{depth}",
        overrides={"drop_path": drop_path, "drop_rate": 0.25},
        dataset="imagenet2012",
        image_size=size,
        preprocess=padded_by_32(size),
        epochs=350.0,
        batch_size=4096,
        dtype="bfloat16",
        ema=0.9999,
        optimization=SGD,
        augment=(CROP, FLIP, STRONGEST),
    )
    about = f"ResNet-RS-{depth} at {size} pixels, 350 epochs."
    source = "Bello et al. 2021, 2103.07579, table 8, and the authors' configs"
    measured = f"ImageNet validation, {size} pixels"
    return Recipe(config, about, source, "Cloud TPU v3", top1, measured)


RECIPES = {f"resnetrs{depth}.in1k": recipe(depth) for depth in PUBLISHED}
