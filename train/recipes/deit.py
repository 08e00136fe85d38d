"""Touvron et al. 2020, DeiT: https://arxiv.org/abs/2012.12877, table 9; TNT and SReT begin from it.

300 epochs of AdamW, a rate of 5e-4 for every 512 images, and all of RandAugment, mixup or CutMix,
erasing and three views of each image.

Left open: the warm-up begins at 1e-6 and the cosine ends at 1e-5 in the code, which then goes on
for ten epochs more; these are not here. Batches are of 1,024 there; here each holds all three views
of its 336 images.
"""

from train.calls import Call
from train.config import Config, OptimizerConfig
from train.recipes.imagenet import CROP, FLIP

VIEWS = (CROP, FLIP, Call("randaugment_increasing", {"magnitude": 9.0, "spread": 0.5}))
MIXED = Call("mixup_or_cutmix", {"mixup": 0.8, "cutmix": 1.0})
ERASED = Call("random_erasing", {"probability": 0.25, "noise": True})  # before they are mixed
DEIT = Config(
    overrides={"drop_path": 0.1},
    dataset="imagenet2012",
    image_size=224,
    epochs=300.0,
    batch_size=1008,  # in three views, on up to 16 devices
    optimization=OptimizerConfig(
        optimizer="adamw",
        learning_rate=1e-3,
        schedule="cosine:final=0.01",
        warmup="5epochs",
        warmup_from=1e-6,
        weight_decay=0.05,
        clip_norm=None,
        label_smoothing=0.1,
    ),
    objective=(MIXED, ERASED),
    augment=(*VIEWS, Call("repeated", {"views": 3})),
)
