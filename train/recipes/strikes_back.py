"""Wightman et al. 2021, "ResNet strikes back": https://arxiv.org/abs/2110.00476, table 2.

ResNet-50 by three procedures: `zoo train --recipe resnet50.a1_in1k`. Binary cross entropy, LAMB,
mixup or CutMix in every batch, and three views of each image in A1 and A2.

Left open: the threshold of binary targets is 0.2 in timm. The table has no clipping of gradients;
timm's LAMB brings their global norm to at most 1 all the same. Theirs is mixed precision with
float16. A3 learns at 160 pixels and is measured at 224, see `224px/top1`. Batches of A1 and A2 are
of 2,048 there; here each holds all three views of its 688 images.
"""

import dataclasses

from train.calls import Call
from train.config import Config, Evaluation, OptimizerConfig
from train.recipes.imagenet import CROP, FLIP
from train.recipes.recipe import Recipe

LAMB = OptimizerConfig(
    optimizer="lamb",
    learning_rate=5e-3,
    schedule="cosine",
    warmup="5epochs",
    weight_decay=0.02,
    clip_norm=None,
)
THREE_VIEWS = Call("repeated", {"views": 3})


def policy(magnitude: float) -> Call:
    """RandAugment of two changes; the table's 7/0.5 is a magnitude and its spread."""
    return Call("randaugment_increasing", {"magnitude": magnitude, "spread": 0.5})


def mixed(mixup: float, smoothing: float = 0.0) -> tuple[Call, ...]:
    """Binary cross entropy on batches that are mixed in one of two ways."""
    loss = Call("binary", {"smoothing": smoothing, "threshold": 0.2})
    return loss, Call("mixup_or_cutmix", {"mixup": mixup, "cutmix": 1.0})


A2 = Config(
    model="resnet50",
    overrides={"drop_path": 0.05},
    dataset="imagenet2012",
    image_size=224,
    preprocess={"crop_pct": 0.95},
    epochs=300.0,
    batch_size=2064,  # in three views, on up to 16 devices
    dtype="bfloat16",
    optimization=LAMB,
    objective=mixed(0.1),
    augment=(CROP, FLIP, policy(7.0), THREE_VIEWS),
)
A1 = dataclasses.replace(
    A2,
    epochs=600.0,
    optimization=dataclasses.replace(LAMB, weight_decay=0.01),
    objective=mixed(0.2, smoothing=0.1),
)
A3 = dataclasses.replace(
    A2,
    overrides={},
    image_size=160,
    epochs=100.0,
    optimization=dataclasses.replace(LAMB, learning_rate=8e-3),
    batch_size=2048,
    augment=(CROP, FLIP, policy(6.0)),
    evaluations={"224px": Evaluation(preprocess={"image_size": 224})},
)
_SOURCE = "Wightman et al. 2021, 2110.00476, table 2"
_MEASURED = "ImageNet validation, 224 pixels"
RECIPES = {
    "resnet50.a1_in1k": Recipe(
        A1, "ResNet-50 in 600 epochs.", _SOURCE, "4 V100 of 32 GB, 110 hours", 0.804, _MEASURED
    ),
    "resnet50.a2_in1k": Recipe(
        A2, "ResNet-50 in 300 epochs.", _SOURCE, "4 V100 of 32 GB, 55 hours", 0.798, _MEASURED
    ),
    "resnet50.a3_in1k": Recipe(
        A3, "ResNet-50 in 100 short epochs.", _SOURCE, "4 V100 of 16 GB, 15 hours", 0.781, _MEASURED
    ),
}
