"""Han et al. 2021, Transformer in Transformer: https://arxiv.org/abs/2103.00112, tables 2 and 3.

`zoo train --recipe tnt_s_patch16_224.in1k`: DeiT's settings, an average of the parameters beside
them, and pictures of which nine tenths are seen, with pixels from -1 to 1 (the authors' command).
"""

import dataclasses

from train.recipes.deit import DEIT
from train.recipes.imagenet import HALVES
from train.recipes.recipe import Recipe

SMALL = dataclasses.replace(
    DEIT, model="tnt_s_patch16_224", preprocess=HALVES | {"crop_pct": 0.9}, ema=0.99996
)
BASE = dataclasses.replace(SMALL, model="tnt_b_patch16_224")
_SOURCE = "Han et al. 2021, 2103.00112, tables 2 and 3"
_MEASURED = "ImageNet validation, 224 pixels"
RECIPES = {
    "tnt_s_patch16_224.in1k": Recipe(
        SMALL, "TNT-S: 300 epochs of DeiT's settings.", _SOURCE, "8 V100", 0.815, _MEASURED
    ),
    "tnt_b_patch16_224.in1k": Recipe(
        BASE, "TNT-B: the same, wider.", _SOURCE, "8 V100", 0.829, _MEASURED
    ),
}
