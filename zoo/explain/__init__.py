"""What a network looks at: maps of an input, and figures of how far to trust them.

By gradients or by hiding parts, from `score`, inputs (b, ...) -> logits (b, k): `saliency`,
`input_times_gradient`, `smooth_grad`, `integrated_gradients` (`gradients`); `occlusion`; `lime` and
`shapley` (`segments`). By other rules of propagation: `guided_backpropagation`, `deep_lift`,
`relevance` (`propagation`). From inside, with the model: `gradcam`, `attention_rollout`
(`rollout`). Figures of maps: `deletion`, `insertion`, `pointing_game`, `max_sensitivity`, `entropy`
(`scores`).

>>> score = lambda x: model.apply(variables, x, train=False)
>>> target = score(images).argmax(axis=-1)
>>> maps = zoo.explain.gradcam(model, variables, images, target)
>>> zoo.explain.deletion(score, images, maps, target)

A map can look right and say nothing of the network: compare it with that of a network whose
weights are drawn anew (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292). Guided
backpropagation fails this check.
"""

from zoo.explain.gradcam import gradcam, stage_names
from zoo.explain.gradients import (
    heat,
    input_times_gradient,
    integrated_gradients,
    saliency,
    smooth_grad,
)
from zoo.explain.occlusion import occlusion
from zoo.explain.propagation import deep_lift, guided_backpropagation, relevance
from zoo.explain.rollout import attention_rollout
from zoo.explain.scores import STEPS, deletion, entropy, insertion, max_sensitivity, pointing_game
from zoo.explain.segments import grid, lime, painted, shapley

__all__ = [
    "STEPS",
    "attention_rollout",
    "deep_lift",
    "deletion",
    "entropy",
    "gradcam",
    "grid",
    "guided_backpropagation",
    "heat",
    "input_times_gradient",
    "insertion",
    "integrated_gradients",
    "lime",
    "max_sensitivity",
    "occlusion",
    "painted",
    "pointing_game",
    "relevance",
    "saliency",
    "shapley",
    "smooth_grad",
    "stage_names",
]
