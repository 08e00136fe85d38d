"""Compares the catalogue's parameter counts with those of the reference constructors.

    python -m scripts.counts [--sret FOLDER]

timm, torchvision and Keras are the installed ones (`pip install -e ".[reference]"`); FOLDER holds a
copy of github.com/szq0214/SReT. One line for each constructor; the exit status is 1 if a count
differs. A new row gets its count from here. Rows without a reference are named at the end.
"""

import argparse
import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.reference import keras, timm, torch, torchvision
from zoo.catalogue import CATALOGUE

KERAS = {
    "inception_v3_keras": "InceptionV3",
    "inception_resnet_v2_keras": "InceptionResNetV2",
    "nasnetalarge_keras": "NASNetLarge",
    "nasnetamobile": "NASNetMobile",
}
# Rows of the SReT repository that have no constructor of their own, or one that lacks an argument.
COMMON = {"patch_size": 16, "stride": 8, "depth": [4, 10, 6], "recursive_num": [2, 5, 3]}
TINY = {"base_dims": [32] * 3, "heads": [2, 4, 8], "mlp_ratio": 3.6, "np_mlp_ratio": 1}
SMALL = {"base_dims": [42] * 3, "heads": [3, 6, 12], "mlp_ratio": 3, "np_mlp_ratio": 2}
SRET = {
    "sret_lt_16_14_1": ("SReT_LT", {}),  # the same parameters, other slices
    "sret_t_wo_slice": ("SReT_T_wo_slice", {"np_mlp_ratio": 1}),
    "sret_lt_wo_slice": ("SReT_LT_wo_slice", {"np_mlp_ratio": 1}),
    "sret_s_wo_slice": ("SReT_S_wo_slice", {"pretrained": False}),
    "sret_t_wo_slice_distill": ("SReT_T_wo_slice", {"np_mlp_ratio": 1}),
    "sret_s_wo_slice_distill": ("SReT_S_wo_slice", {"pretrained": False}),
    "sret_t_wo_slice_finetune_384": ("RecursiveTransformer", {"image_size": 384} | COMMON | TINY),
    "sret_s_wo_slice_finetune_512": ("RecursiveTransformer", {"image_size": 512} | COMMON | SMALL),
}
Counts = Iterator[tuple[str, str, int]]  # row, source, parameters


def torch_parameters(make: Callable[..., Any], *arguments: Any, **keywords: Any) -> int:
    """Trainable parameters of a PyTorch model, made without content."""
    with torch.device("meta"):
        model = make(*arguments, **keywords)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def from_timm() -> Counts:
    """Rows that timm has under the same name."""
    for name in filter(timm.is_model, CATALOGUE):
        yield name, "timm", torch_parameters(timm.create_model, name)


def from_torchvision() -> Counts:
    """Rows that torchvision has under the same name; Inceptions without auxiliary heads."""
    for name in CATALOGUE.keys() & set(torchvision.models.list_models()):
        inception = name in ("googlenet", "inception_v3")
        plain = {"aux_logits": False, "init_weights": False} if inception else {}
        make = torchvision.models.get_model
        yield name, "torchvision", torch_parameters(make, name, weights=None, **plain)


def from_keras() -> Counts:
    """Rows that Keras has."""
    for name, constructor in KERAS.items():
        model = getattr(keras.applications, constructor)(weights=None)
        yield name, "keras", sum(weight.value.size for weight in model.trainable_weights)


def from_sret(folder: Path) -> Counts:
    """Rows of the authors' SReT."""
    sys.path.insert(0, str(folder))
    modules = (importlib.import_module(name) for name in ("SReT", "SReT_wo_slice"))
    known = {n.lower(): make for module in modules for n, make in vars(module).items()}
    for name in CATALOGUE:
        if name.startswith("sret_") and name != "sret_nano":
            constructor, keywords = SRET.get(name, (name, {}))
            make = known[constructor.lower()]
            yield name, "SReT", torch_parameters(make, **keywords)


def main() -> int:
    """Prints every comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sret", type=Path, help="a copy of github.com/szq0214/SReT")
    folder = parser.parse_args().sret
    sret = from_sret(folder) if folder else iter(())
    seen, wrong = set(), 0
    for name, source, count in itertools.chain(from_timm(), from_torchvision(), from_keras(), sret):
        stored = CATALOGUE[name].parameters
        verdict = "" if count == stored else f"  the catalogue has {stored:,}"
        print(f"{name:32}{source:12}{count:>12,}{verdict}", flush=True)
        seen.add(name)
        wrong += count != stored
    print("no reference:", ", ".join(name for name in CATALOGUE if name not in seen))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
