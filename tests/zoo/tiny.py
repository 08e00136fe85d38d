"""The smallest form of every row of the image families, and which rows share one.

Depth, width and the number of groups shrink; blocks, stems, shortcuts, attention, norms, pools,
branches, cells and slices stay what they are. Rows that differ only in size have the same form.
"""

from functools import partial

import zoo
from zoo.catalogue import CATALOGUE
from zoo.efficientnet import Stage
from zoo.inception import Fork, Mixed, Pool, Residual, Unit
from zoo.layers.factory import Factory
from zoo.layers.group_norm import GroupNorm
from zoo.simplenet import Unit as SimpleUnit

CLASSES = {"num_classes": 5}
FEW_GROUPS = Factory(GroupNorm, groups=4)
SIDES = {"resnet": (32, 24), "resnetv2": (32, 24), "inception": (75, 79), "nasnet": (33, 38)}
SIDES |= {
    "tnt": (11, 14),
    "sret": (32, 24),
    "efficientnet": (33, 26),
    "simplenet": (33, 26),
    "deepmad": (33, 26),
    "prototypenet": (9, 6),
}


def tiny(name):
    """A builder of the small form of a row, and the shape of an image for it."""
    model = zoo.create_model(name)
    family = zoo.model_info(name).family
    return partial(CATALOGUE[name].build, **CLASSES, **SHRINK[family](model)), (*SIDES[family], 3)


def resnet(model):
    """Two stages; group norm and grouped convolutions with fewer groups."""
    fields = {"stage_sizes": (1, 2), "width": 8}
    fields |= {"groups": 2, "base_width": 64} if model.groups > 1 else {}
    return fields | ({"norm": FEW_GROUPS} if model.norm is GroupNorm else {})


def resnetv2(model):
    """Two stages; group norm with fewer groups."""
    fields = {"stage_sizes": (1, 2), "width": 8}
    return fields | ({"norm": FEW_GROUPS} if model.norm is GroupNorm else {})


def inception(model):
    """One block of each form in a stage; stems stay as long as they are."""
    stages = []
    for stage, layers in model.stages:
        kept = {}
        for name, op in layers:
            kept.setdefault(name if stage == "stem" else narrow(op), (name, narrow(op)))
        stages.append((stage, tuple(kept.values())))
    return {"stages": tuple(stages)}


def narrow(op):
    """A step with six channels everywhere."""
    if isinstance(op, Unit):
        return op._replace(features=6)
    if isinstance(op, Fork):
        return Fork(tuple(map(narrow, op.units)))
    if isinstance(op, Mixed | Residual):
        return op._replace(
            branches=tuple(b._replace(ops=tuple(map(narrow, b.ops))) for b in op.branches)
        )
    assert isinstance(op, Pool)
    return op


def efficientnet(model):
    """Two stages of narrow blocks: with and without expansion and identity, 3×3 and 5×5."""
    return {"width": 0.5, "depth": 1.0, "stages": (Stage(1, 3, 16, 1, 1), Stage(6, 5, 24, 2, 2))}


def simplenet(model):
    """Two stages of narrow units, 3×3 and 1×1; a stride where there are some."""
    stages = ((SimpleUnit(16), SimpleUnit(16)), (SimpleUnit(32, 1), SimpleUnit(16)))
    return {"stages": stages, "strides": model.strides[:1], "scale": 0.5}


def deepmad(model):
    """Two stages of narrow blocks: 3×3 and 5×5, of other channels or the same, strided or not."""
    stages = ((16, 3, 1, 2, 8), (24, 5, 2, 2, 16))
    return {"stages": stages, "stem": 16, "top": None if model.top is None else 24}


def prototypenet(model):
    """Two convolutions, few prototypes."""
    return {"image_size": (9, 6), "channels": 3, "widths": (8, 4), "prototypes": 6}


def nasnet(model):
    """One normal cell in a stage."""
    return {"cells": (1, 1), "filters": 8, "stem_width": 4}


def tnt(model):
    """Two blocks, patches of 4×4 pixels."""
    widths = {"width": 16, "inner_width": 4, "heads": 2, "inner_heads": 2}
    return {"image_size": (11, 14), "patch_size": 4, "pixel_stride": 2, "depth": 2} | widths


def sret(model):
    """Two stages; slices stay slices, permuted or not."""
    fields = {
        "image_size": (32, 24),
        "stem_strides": (2, 2, 2),
        "between_ratio": 1.0,
        "mlp_ratio": 2.0,
    }
    fields |= {"head_dims": (4, 4), "heads": (1, 2), "shared_blocks": (2, 1), "recursions": (2, 2)}
    sliced, permuted = max(model.slices) > 1, max(model.permuted_slices) > 1
    return fields | {
        "slices": (3, 2) if sliced else (1, 1),
        "permuted_slices": (2, 1) if permuted else (1, 1),
    }


SHRINK = {
    "resnet": resnet,
    "resnetv2": resnetv2,
    "inception": inception,
    "efficientnet": efficientnet,
    "simplenet": simplenet,
    "deepmad": deepmad,
    "prototypenet": prototypenet,
    "nasnet": nasnet,
    "tnt": tnt,
    "sret": sret,
}


def structures():
    """The first row of each small form."""
    found = {}
    for name in CATALOGUE:
        if zoo.model_info(name).family in SHRINK:
            found.setdefault(tiny(name)[0](), name)
    return list(found.values())
