"""Shen et al. 2022, Sliced Recursive Transformer: https://arxiv.org/abs/2111.05297, section 4.

`zoo train --recipe sret_t.in1k`, with DeiT's settings; accuracies of the last epoch, as the table
of the authors' repository (szq0214/SReT) has them. Distilled, a network learns the probabilities of
a teacher and no labels, and its images are not mixed (MEAL V2, https://arxiv.org/abs/2009.08453).

Left open: the repository advises twice the rate and a warm-up of 30 epochs, without a figure. The
paper's teacher is not among our weights; `resnet152.a1h_in1k` takes its place.
"""

import dataclasses

from train.calls import Call
from train.recipes.deit import DEIT, ERASED
from train.recipes.recipe import Recipe

TEACHER = Call("distillation", {"teacher": "resnet152.a1h_in1k", "weight": 1.0})
TINY = dataclasses.replace(DEIT, model="sret_t")
SMALL = dataclasses.replace(DEIT, model="sret_s")
SOFT = dataclasses.replace(DEIT.optimization, label_smoothing=0.0)
DISTILLED = dataclasses.replace(
    TINY, model="sret_t_distill", objective=(TEACHER, ERASED), optimization=SOFT
)
_SOURCE = "Shen et al. 2022, 2111.05297, and the authors' repository"
_MEASURED = "ImageNet validation, 224 pixels, last epoch"
RECIPES = {
    "sret_t.in1k": Recipe(
        TINY, "SReT-T: 300 epochs of DeiT's settings.", _SOURCE, "8 GPUs", 0.760, _MEASURED
    ),
    "sret_s.in1k": Recipe(SMALL, "SReT-S: the same, wider.", _SOURCE, "8 GPUs", 0.819, _MEASURED),
    "sret_t_distill.in1k": Recipe(
        DISTILLED, "SReT-T, from a teacher's answers.", _SOURCE, "8 GPUs", 0.776, _MEASURED
    ),
}
