"""Kolesnikov et al. 2019, BiT-HyperRule: https://arxiv.org/abs/1912.11370, section 3.3.

Transfer of pretrained weights to any data, by its size alone:
`zoo train --recipe resnetv2_50x1_bit.pets`. Another data set is `hyper_rule(examples, side)`.

Left open: of R50x1 the paper shows figures and no numbers but in plots. The new head is drawn here,
theirs begins at zero. Theirs sees pictures made square, see `whole/top1`.
"""

import dataclasses
from typing import Any

from train.calls import Call
from train.config import Config, Evaluation, OptimizerConfig
from train.recipes.imagenet import FLIP
from train.recipes.recipe import Recipe

SMALL, MEDIUM = 20_000, 500_000  # examples below which a data set is small, or of middle size
WHOLE = {"crop_pct": 1.0, "crop_mode": "squash"}


def hyper_rule(examples: int, side: int) -> Config:
    """Settings for a data set.

    Args:
        examples: that are trained on.
        side: of typical images in pixels; below 96, inputs have 128, else 480.
    """
    if examples < SMALL:
        warmup, *drops, steps = 100, 200, 300, 400, 500
    elif examples < MEDIUM:
        warmup, *drops, steps = 500, 3000, 6000, 9000, 10_000
    else:
        warmup, *drops, steps = 500, 6000, 12_000, 18_000, 20_000
    places = ",".join(f'"{step}steps"' for step in drops)
    larger, size = (160, 128) if side < 96 else (512, 480)
    return Config(
        image_size=size,
        steps=steps,
        batch_size=512,
        optimization=OptimizerConfig(
            optimizer="sgd:nesterov=false",
            learning_rate=3e-3,
            schedule=f"steps:at=[{places}],factor=0.1",
            warmup=f"{warmup}steps",
            weight_decay=0.0,
            clip_norm=None,
        ),
        objective=() if examples < SMALL else (Call("mixup", {"alpha": 0.1}),),
        augment=(Call("random_crop", {"share": size / larger}), FLIP),
        evaluations={"whole": Evaluation(preprocess=WHOLE)},
    )


def recipe(dataset: str, examples: int, side: int, **known: Any) -> Recipe:
    """Transfer of the weights that were learned on ImageNet-21k."""
    config = hyper_rule(examples, side)
    weights = "resnetv2_50x1_bit.goog_in21k"
    config = dataclasses.replace(config, weights=weights, dataset=dataset)
    about = f"BiT-M R50x1 transferred to {dataset}, {config.steps:,} steps."
    source = "Kolesnikov et al. 2019, 1912.11370, section 3.3"
    return Recipe(config, about, source, "Cloud TPU v3-8, or one GPU with --accumulate", **known)


RECIPES = {
    "resnetv2_50x1_bit.pets": recipe("oxford_iiit_pet", 3_680, 300),
    "resnetv2_50x1_bit.cifar10": recipe("cifar10", 50_000, 32),
    "resnetv2_50x1_bit.in1k": recipe(
        "imagenet2012",
        1_281_167,
        300,
        top1=0.8039,
        measured="ImageNet validation, the authors' weights measured by timm at 448 pixels",
    ),
}
