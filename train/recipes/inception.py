"""Szegedy et al. 2015, Inception-v3, and 2016, Inception-v4 and Inception-ResNet-v2.

https://arxiv.org/abs/1512.00567, section 8 and table 3; https://arxiv.org/abs/1602.07261, section 4
and table 2. `zoo train --recipe inception_v3.in1k`. RMSprop with an epsilon of 1, a rate of 0.045
that loses six percent every two epochs, and a running average of the parameters, which is what is
measured.

Left open, and taken from the authors' code (tensorflow/models, research/inception and slim): decay
of 4e-5, momentum of 0.9 inside RMSprop, average of 0.9999, weight 0.4 of the auxiliary loss. Their
50 or 20 replicas of 32 images moved the parameters without waiting for each other; here a batch
holds the images of all. Of the second paper batch, smoothing and length are open too: they are
those of the first, but for 160 epochs; clipping is the first's alone.
"""

import dataclasses

from train.calls import Call
from train.config import Config, OptimizerConfig
from train.recipes.imagenet import HALVES, INCEPTION
from train.recipes.recipe import Recipe

RMSPROP = OptimizerConfig(
    optimizer="rmsprop:rho=0.9,momentum=0.9,eps=1.0",
    learning_rate=0.045,
    schedule='exponential:factor=0.94,every="2epochs"',
    warmup=0.0,
    weight_decay=4e-5,
    clip_norm=2.0,
    label_smoothing=0.1,
)
V3 = Config(
    model="inception_v3",
    overrides={"aux_heads": True, "drop_rate": 0.2},
    dataset="imagenet2012",
    image_size=299,
    preprocess=HALVES,
    epochs=100.0,
    batch_size=1600,
    batch_norm_groups=50,
    ema=0.9999,
    optimization=RMSPROP,
    objective=(Call("auxiliary", {"weight": 0.4}),),
    augment=INCEPTION,
)
V4 = dataclasses.replace(
    V3,
    model="inception_v4",
    overrides={"drop_rate": 0.2},
    epochs=160.0,
    batch_size=640,
    batch_norm_groups=20,
    optimization=dataclasses.replace(RMSPROP, clip_norm=None),
    objective=(),
)
RESNET_V2 = dataclasses.replace(
    V4, model="inception_resnet_v2", preprocess=HALVES | {"crop_pct": 0.8975}
)
_V4, _CROP = "Szegedy et al. 2016, 1602.07261, table 2", "one crop of 299 pixels"
_FEWER = f"ImageNet validation without the blacklisted images, {_CROP}"
RECIPES = {
    "inception_v3.in1k": Recipe(
        V3,
        "Inception-v3 with an auxiliary head.",
        "Szegedy et al. 2015, 1512.00567, table 3",
        "50 Kepler GPUs",
        0.788,
        f"ImageNet validation, {_CROP}",
    ),
    "inception_v4.in1k": Recipe(
        V4, "Inception-v4 in 160 epochs.", _V4, "20 Kepler GPUs", 0.800, _FEWER
    ),
    "inception_resnet_v2.in1k": Recipe(
        RESNET_V2, "Inception-ResNet-v2 in 160 epochs.", _V4, "20 Kepler GPUs", 0.801, _FEWER
    ),
}
