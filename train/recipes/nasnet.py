"""Zoph et al. 2018, NASNet-A: https://arxiv.org/abs/1707.07012, tables 1 to 3, appendix A.

`zoo train --recipe nasneta_6_768.cifar10`. Rates, clipping, label smoothing, dropout, dropped paths
and the weight of the auxiliary loss are those in the notes of the authors' code (tensorflow/models,
research/slim/nets/nasnet/nasnet.py). Paths are dropped more and more over the run.

Left open: the average of parameters on ImageNet (0.9999 here), and the colour that Cutout hides
with (black here). 250,000 updates are 312 epochs of ImageNet.
"""

import dataclasses

from train.calls import Call
from train.config import Config, OptimizerConfig
from train.recipes.imagenet import CIFAR, FLIP, HALVES, INCEPTION, PADDED
from train.recipes.recipe import Recipe

METHODS = (Call("auxiliary", {"weight": 0.4}), Call("scheduled_drop_path"))
SMALL_IMAGES = Config(
    model="nasneta_6_768",
    overrides={"aux_heads": True, "drop_path": 0.4},
    dataset="cifar10",
    preprocess=CIFAR,
    epochs=600.0,
    batch_size=32,
    optimization=OptimizerConfig(
        optimizer="sgd:nesterov=false",
        learning_rate=0.025,
        schedule="cosine",
        warmup=0.0,
        weight_decay=5e-4,
        clip_norm=5.0,
    ),
    objective=METHODS,
    augment=(PADDED, FLIP, Call("cutout", {"size": 16})),
)
LARGE = Config(
    model="nasnetalarge",
    overrides={"aux_heads": True, "drop_path": 0.3, "drop_rate": 0.5},
    dataset="imagenet2012",
    image_size=331,
    preprocess=HALVES,
    steps=250_000,
    batch_size=1600,
    batch_norm_groups=100,
    ema=0.9999,
    optimization=OptimizerConfig(
        optimizer="rmsprop:rho=0.9,momentum=0.9,eps=1.0",
        learning_rate=1.5,
        schedule='exponential:factor=0.97,every="2.4epochs"',
        warmup=0.0,
        weight_decay=5e-5,
        clip_norm=10.0,
        label_smoothing=0.1,
    ),
    objective=METHODS,
    augment=INCEPTION,
)
MOBILE = dataclasses.replace(
    LARGE,
    model="nasnetamobile",
    overrides={"aux_heads": True, "drop_rate": 0.5},
    image_size=224,
    batch_norm_groups=50,
    optimization=dataclasses.replace(LARGE.optimization, learning_rate=2.0, weight_decay=4e-5),
    objective=METHODS[:1],
)
_ONE, _TWO = (f"Zoph et al. 2018, 1707.07012, table {n}" for n in (1, 2))
RECIPES = {
    "nasneta_6_768.cifar10": Recipe(
        SMALL_IMAGES, "NASNet-A (6 @ 768) on CIFAR-10.", _ONE, "1 GPU", 0.9735, "CIFAR-10 test"
    ),
    "nasneta_7_2304.cifar10": Recipe(
        dataclasses.replace(SMALL_IMAGES, model="nasneta_7_2304"),
        "NASNet-A (7 @ 2304) on CIFAR-10.",
        _ONE,
        "1 GPU",
        0.9760,
        "CIFAR-10 test",
    ),
    "nasnetamobile.in1k": Recipe(
        MOBILE,
        "NASNet-A (4 @ 1056) for phones.",
        "Zoph et al. 2018, 1707.07012, table 3",
        "50 replicas of 32 images",
        0.740,
        "ImageNet validation, 224 pixels",
    ),
    "nasnetalarge.in1k": Recipe(
        LARGE,
        "NASNet-A (6 @ 4032).",
        _TWO,
        "100 replicas of 16 images",
        0.827,
        "ImageNet validation, 331 pixels",
    ),
}
