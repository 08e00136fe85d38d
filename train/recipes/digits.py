"""Digits of 8×8 pixels: the weights that ship with the package, and what is done with them."""

import dataclasses

from train.augment import Augment
from train.calls import Call
from train.config import Config, OptimizerConfig

# Handwriting of 43 people, 1,077 images: many passes, and every pass sees the digits moved.
RESNET8 = Config(
    model="resnet8",
    dataset="zoo_digits",
    epochs=40.0,
    batch_size=64,
    optimization=OptimizerConfig(learning_rate=4e-3, weight_decay=0.05, label_smoothing=0.1),
    augment=Augment(rotate=12.0, translate=0.08, scale=0.12, shear=8.0).calls,
)
RESNET20 = dataclasses.replace(RESNET8, model="resnet20")
INCEPTION_NANO = dataclasses.replace(RESNET8, model="inception_nano")
SIMPLENET_NANO = dataclasses.replace(RESNET8, model="simplenet_nano")
# Adam at 2e-3 and fifteen prototypes are the paper's; digits of 8 pixels bear less distortion.
PROTOTYPES_NANO = dataclasses.replace(
    RESNET8,
    model="prototypes_nano",
    epochs=120.0,
    optimization=OptimizerConfig(learning_rate=2e-3, weight_decay=0.0),
    objective=(Call("prototypes", {"weight": 5.0}),),
    augment=Augment(rotate=8.0, translate=0.05, scale=0.08, shear=5.0).calls,
)
# Its many small convolutions are slow on CPU, but fifteen passes are enough.
NASNET_NANO = dataclasses.replace(RESNET8, model="nasnet_nano", epochs=15.0)
# Transformers know nothing of neighbours at first: they take longer, and smaller steps.
TNT_NANO = dataclasses.replace(
    RESNET8,
    model="tnt_nano",
    epochs=100.0,
    optimization=dataclasses.replace(RESNET8.optimization, learning_rate=2e-3),
)
SRET_NANO = dataclasses.replace(TNT_NANO, model="sret_nano")
# Pixel by pixel, as sequences of 64 steps.
LSSL_NANO = dataclasses.replace(
    RESNET8,
    model="lssl_nano",
    batch_size=32,
    optimization=dataclasses.replace(RESNET8.optimization, learning_rate=6e-3, weight_decay=0.02),
)
# Twenty thousand rendered digits, already turned, bent and thickened by their data set.
RENDERED = dataclasses.replace(
    RESNET8, dataset="zoo_rendered_digits", epochs=8.0, batch_size=128, augment=()
)

# Any published weights on any data set: small steps, not many.
FINETUNE = Config(
    epochs=10.0,
    batch_size=32,
    optimization=OptimizerConfig(learning_rate=3e-4, warmup=0.1, weight_decay=0.02),
)

# From printed digits to handwriting, with five labelled images of each class.
TRANSFER = dataclasses.replace(
    FINETUNE,
    weights="resnet8.rendered_digits",
    dataset="zoo_digits",
    per_class=5,
    epochs=None,
    steps=300,
    batch_size=32,
    optimization=dataclasses.replace(FINETUNE.optimization, learning_rate=1e-3),
    augment=RESNET8.augment,
)
