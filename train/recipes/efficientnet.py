"""Tan & Le 2019, EfficientNet: https://arxiv.org/abs/1905.11946, section 5.2 and table 2.

`zoo train --recipe tf_efficientnet_b0.in1k`. RMSprop, a rate of 0.256 that loses three percent
every 2.4 epochs, AutoAugment, and dropout that grows with the network.

Left open, and taken from the authors' code (tensorflow/tpu, models/official/efficientnet): 350
epochs, batches of 4,096, a warm-up of 5 epochs, label smoothing of 0.1, an average of 0.9999, an
epsilon of 0.001. The paper keeps 25,000 images of the training split for early stopping; here all
are trained on.
"""

from train.calls import Call
from train.config import Config, OptimizerConfig
from train.recipes.imagenet import CROP, FLIP, padded_by_32
from train.recipes.recipe import Recipe

RMSPROP = OptimizerConfig(
    optimizer="rmsprop:rho=0.9,momentum=0.9,eps=0.001",
    learning_rate=0.256,
    schedule='exponential:factor=0.97,every="2.4epochs"',
    warmup="5epochs",
    weight_decay=1e-5,
    clip_norm=None,
    label_smoothing=0.1,
)
# Side of the images, dropout, top-1.
PUBLISHED = {
    "b0": (224, 0.2, 0.771),
    "b1": (240, 0.2, 0.791),
    "b2": (260, 0.3, 0.801),
    "b3": (300, 0.3, 0.816),
    "b4": (380, 0.4, 0.829),
    "b5": (456, 0.4, 0.836),
    "b6": (528, 0.5, 0.840),
    "b7": (600, 0.5, 0.843),
}


def recipe(name: str) -> Recipe:
    """The network of a size, b0 to b7, at the resolution that goes with it."""
    size, dropout, top1 = PUBLISHED[name]
    config = Config(
        model=f"tf_efficientnet_{name}",
        overrides={"drop_path": 0.2, "drop_rate": dropout},
        dataset="imagenet2012",
        image_size=size,
        preprocess=padded_by_32(size),
        epochs=350.0,
        batch_size=4096,
        dtype="bfloat16",
        ema=0.9999,
        optimization=RMSPROP,
        augment=(CROP, FLIP, Call("autoaugment")),
    )
    about = f"EfficientNet-{name.upper()} at {size} pixels, 350 epochs."
    source = "Tan & Le 2019, 1905.11946, table 2"
    measured = f"ImageNet validation, {size} pixels"
    return Recipe(config, about, source, "Cloud TPU v3", top1, measured)


RECIPES = {f"tf_efficientnet_{name}.in1k": recipe(name) for name in PUBLISHED}
