"""Which of our models a reference constructor stands for, from its call as text.

`timm.create_model('resnet50', num_classes=10)` and `torchvision.models.resnet50(...)` are read as
syntax and never evaluated, so that their arguments must be literals.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tests.golden import fill
from tests.golden.repositories import READERS, Call, parse_call
from zoo.errors import UsageError

# Arguments whose names differ from our fields'.
FIELDS = {
    "timm": {
        "base_width": "base_width",
        "cardinality": "groups",
        "depth": "depth",
        "embed_dim": "width",
        "first_stride": "pixel_stride",
        "img_size": "image_size",
        "inner_dim": "inner_width",
        "mlp_ratio": "mlp_ratio",
        "num_heads_inner": "inner_heads",
        "num_heads_outer": "heads",
        "patch_size": "patch_size",
    },
    "torchvision": {"groups": "groups", "width_per_group": "base_width"},
    "keras": {},
    "tinynas": {"stages": "stages", "stem": "stem", "top": "top"},
    "simplenet": {"drop_rates": "drop_rates", "scale": "scale", "strides": "strides"},
    "sret": {
        "base_dims": "head_dims",
        "groups1": "slices",
        "groups2": "permuted_slices",
        "heads": "heads",
        "image_size": "image_size",
        "mlp_ratio": "mlp_ratio",
        "np_mlp_ratio": "between_ratio",
        "recursions": "recursions",
        "recursive_num": "shared_blocks",
    },
}

# Arguments without effect on a case: weights and inputs are filled, their shapes are stored, and
# cases are recorded without dropout and drop path.
UNUSED = (
    *("pretrained", "weights", "weights_backbone", "progress", "init_weights", "name"),
    *("pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
    *("scriptable", "exportable", "no_jit", "zero_init_last", "zero_init_residual"),
    *("drop_rate", "drop_path_rate", "drop_block_rate", "proj_drop_rate", "attn_drop_rate"),
    *("pos_drop_rate", "dropout", "dropout_aux"),
    *("in_chans", "input_shape", "input_tensor", "classifier_activation"),
)
# Arguments that choose between networks and are read elsewhere.
READ = ("aux_logits", "classes", "include_top", "num_classes", "transform_input")
# What has one value in our models; another one is another network.
ONLY = {
    "global_pool": ("avg",),
    "output_stride": (32,),
    "pooling": (None, "avg"),
    "qkv_bias": (False,),
}
ONLY_TNT = ONLY | {"global_pool": ("token",)}

# Constructors whose name in a library is not that of our architecture.
NAMES = {
    ("torchvision", "GoogLeNet"): "googlenet",
    ("torchvision", "Inception3"): "inception_v3",
    ("keras", "InceptionV3"): "inception_v3_keras",
    ("keras", "InceptionResNetV2"): "inception_resnet_v2_keras",
    ("keras", "NASNetLarge"): "nasnetalarge_keras",
    ("keras", "NASNetMobile"): "nasnetamobile",
}
BY_NAME = ("create_model", "get_model")  # functions whose first argument is the name
AUXILIARY_BY_DEFAULT = {("torchvision", "googlenet"), ("torchvision", "inception_v3")}
LIBRARIES = {"SReT repository": "sret", "SReT_wo_slice": "sret", "SReT": "sret"}


def parse_constructor(case: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Source library, our architecture and its overrides.

    Raises:
        UsageError: the constructor is no such call, or has an argument that our models lack.
    """
    root, call = parse_call(case["source"]["constructor"])
    library = case["source"].get("library", root)
    library = LIBRARIES.get(library, library)
    if library not in FIELDS:
        raise UsageError(f"no library {library!r} is known; there are {', '.join(FIELDS)}")
    name, keywords = READERS.get(library, partial(named_constructor, library))(call)
    classes = keywords.get("classes", keywords.get("num_classes", case["num_classes"]))
    headless = not classes or not keywords.get("include_top", True)
    auxiliary = keywords.get("aux_logits", (library, name) in AUXILIARY_BY_DEFAULT)
    overrides = {"num_classes": None if headless else classes}
    overrides |= {"aux_heads": True} if auxiliary else {}
    overrides |= {"permutation": sret_permutation(case)} if library == "sret" else {}
    only = ONLY_TNT if name.startswith("tnt") else ONLY
    return library, name, overrides | fields(library, keywords, only)


def named_constructor(library: str, call: Call) -> tuple[str, dict[str, Any]]:
    """Our name for `timm.create_model('NAME')`, `torchvision.models.NAME()` and their like."""
    keywords, name = dict(call.keywords), call.function
    if name in BY_NAME:
        name = call.arguments[0] if call.arguments else keywords.pop("model_name", None)
        name = name or keywords.pop("name")
        name = name.rpartition("/")[2].partition(".")[0]  # timm/NAME.TAG
    return NAMES.get((library, name), name), keywords


def fields(
    library: str, keywords: Mapping[str, Any], only: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """Our fields for a constructor's arguments."""
    result = {}
    for keyword, value in keywords.items():
        if keyword in only and value not in only[keyword]:
            wanted = " or ".join(map(repr, only[keyword]))
            raise UsageError(f"we lack `{keyword}={value!r}` of {library}, there is {wanted}")
        if keyword in (*UNUSED, *READ, *only):
            continue
        if keyword not in FIELDS[library]:
            raise UsageError(f"we lack the argument `{keyword}={value!r}` of {library}")
        result[FIELDS[library][keyword]] = tuple(value) if isinstance(value, list) else value
    return result


def sret_permutation(case: Mapping[str, Any]) -> Callable[[int, int], np.ndarray]:
    """What the recorded run drew instead of random permutations."""
    if any("randperm replaced by the identity" in note for note in case.get("notes", ())):
        return lambda draw, tokens: np.arange(tokens)
    return lambda draw, tokens: fill.make_permutation(f"randperm.{draw}", tokens)


def transforms_input(case: Mapping[str, Any]) -> bool:
    """Whether torchvision's network takes images in ImageNet's statistics to mean and std 0.5."""
    return bool(parse_call(case["source"]["constructor"])[1].keywords.get("transform_input"))
