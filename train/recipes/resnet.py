"""Goyal et al. 2017, "Accurate, Large Minibatch SGD": https://arxiv.org/abs/1706.02677, section 5.

ResNet-50 in 90 epochs: `zoo train --recipe resnet50.goyal256_in1k`. The rate is 0.1 for every 256
images, and falls tenfold after 30, 60 and 80 epochs; batches of 8,192 warm up over 5 epochs from
the rate of 256. Norms are not decayed and see 32 images each, and the last one of each block begins
at zero, as all of ours do. He et al. 2015, https://arxiv.org/abs/1512.03385, had the same rule and
decay, and let the rate fall when the error did not.

Left open: whether biases of the last layer are decayed; here they are not.
"""

import dataclasses

from train.config import Config, OptimizerConfig
from train.recipes.imagenet import CROP, FLIP
from train.recipes.recipe import Recipe

SGD = OptimizerConfig(
    optimizer="sgd:nesterov=false",
    learning_rate=0.1,
    schedule='steps:at=["30epochs","60epochs","80epochs"],factor=0.1',
    warmup=0.0,
    weight_decay=1e-4,
    clip_norm=None,
)
SMALL_BATCH = Config(
    model="resnet50",
    dataset="imagenet2012",
    epochs=90.0,
    batch_size=256,
    batch_norm_groups=8,
    optimization=SGD,
    augment=(CROP, FLIP),
)
LARGE_BATCH = dataclasses.replace(
    SMALL_BATCH,
    batch_size=8192,
    batch_norm_groups=256,
    optimization=dataclasses.replace(SGD, learning_rate=3.2, warmup="5epochs", warmup_from=0.1),
)
_SOURCE = "Goyal et al. 2017, 1706.02677, table 1"
RECIPES = {
    "resnet50.goyal256_in1k": Recipe(
        SMALL_BATCH,
        "ResNet-50 in 90 epochs, batches of 256.",
        _SOURCE,
        "8 P100",
        0.7640,
        "ImageNet validation, one crop of 224 pixels",
    ),
    "resnet50.goyal8192_in1k": Recipe(
        LARGE_BATCH,
        "The same in batches of 8,192: an hour on 256 GPUs.",
        _SOURCE,
        "256 P100, 1 hour",
        0.7626,
        "ImageNet validation, one crop of 224 pixels",
    ),
}
