"""He et al. 2015, ResNet on CIFAR-10: https://arxiv.org/abs/1512.03385, section 4.2 and table 6.

`zoo train --recipe resnet20.cifar10`. 64,000 updates on 128 images; 110 layers begin with a tenth
of the rate, for 400 updates as the paper has it until the training error is below 80 %.

Left open: whether norms and biases are decayed; here they are not. Their mean is one for each
pixel, ours for each channel, and our last norm of each block begins at zero.
"""

import dataclasses

from train.config import Config, OptimizerConfig
from train.recipes.imagenet import CIFAR, FLIP, PADDED
from train.recipes.recipe import Recipe

SGD = OptimizerConfig(
    optimizer="sgd:nesterov=false",
    learning_rate=0.1,
    schedule='steps:at=["32000steps","48000steps"],factor=0.1',
    warmup=0.0,
    weight_decay=1e-4,
    clip_norm=None,
)
SLOW_START = dataclasses.replace(
    SGD,
    learning_rate=0.01,
    schedule='steps:at=["400steps","32000steps","48000steps"],factor=[10.0,0.1,0.1]',
)
PUBLISHED = {20: 0.9125, 32: 0.9249, 44: 0.9283, 56: 0.9303, 110: 0.9357}  # the best of five: 110


def recipe(depth: int) -> Recipe:
    """The network of so many layers."""
    config = Config(
        model=f"resnet{depth}",
        dataset="cifar10",
        preprocess=CIFAR,
        steps=64_000,
        batch_size=128,
        optimization=SLOW_START if depth == 110 else SGD,
        augment=(PADDED, FLIP),
    )
    measured = "CIFAR-10 test" + (", best of five: 0.9339 ± 0.0016" if depth == 110 else "")
    source = "He et al. 2015, 1512.03385, table 6"
    about = f"ResNet of {depth} layers on CIFAR-10."
    return Recipe(config, about, source, "2 GPUs", PUBLISHED[depth], measured)


RECIPES = {f"resnet{depth}.cifar10": recipe(depth) for depth in PUBLISHED}
