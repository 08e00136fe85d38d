"""The reference: every public name from its docstring."""

import importlib
import inspect
from typing import Any

# What belongs together, in the order in which people meet it. A public name that stands in none
# comes last, under "More".
SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "zoo": {
        "Networks": ("list_models", "model_info", "create_model", "init_variables", "feature_info"),
        "Values": ("ModelInfo", "UsageError"),
    },
    "checkpoints": {
        "Load and save": ("load", "save", "Pretrained", "Card", "Preprocess"),
        "Names": ("list_weights", "weights_info"),
        "Other libraries": ("import_weights", "export_weights", "sources"),
    },
    "train": {
        "Data": (
            *("load_dataset", "few_shot", "evaluation_split", "train_batches", "eval_batches"),
            "Augment",
        ),
        "Runs": (
            *("Config", "OptimizerConfig", "Evaluation", "Retention", "fit", "finetune"),
            *("plan", "Plan", "Result", "Interrupted"),
        ),
        "A loop of one's own": (
            *("create_state", "TrainState", "make_train_step", "parallelize", "data_mesh"),
            *("make_mesh", "make_optimizer", "make_schedule", "published"),
        ),
        "Methods": (
            *("Objective", "Forward", "Remade", "supervised", "on", "calling", "Parameters"),
            *("select", "Task", "CLASSES", "NUMBERS", "softmax_cross_entropy"),
        ),
        "Results": ("evaluate", "predict", "image_grid", "compress"),
    },
    "train.tabular": {
        "Estimators": ("HopularClassifier", "HopularRegressor", "HopularEstimator"),
    },
    "zoo.hopfield": {
        "Pure functions": ("energy", "retrieve"),
        "Layers": ("Hopfield", "HopfieldPooling", "HopfieldLayer"),
        "Networks": ("HopfieldMIL", "HopfieldLookup", "HopfieldEncoder"),
    },
    "zoo.lssl": {"Networks": ("LSSL", "Block", "Stream")},
}
# Methods and values that a run names, each in a module with its paper.
ALONE = ("zoo.split",)  # one module each
MODULES = ("train.methods", "train.compress", "zoo.parameters", "zoo.attack", "zoo.explain")


def pages() -> dict[str, str]:
    """Name and text of every page of the reference."""
    found = {package: _package(package) for package in SECTIONS}
    return {**found, "methods": _methods()}


def _package(package: str) -> str:
    module = importlib.import_module(package)
    known = [name for names in SECTIONS[package].values() for name in names]
    more = tuple(name for name in module.__all__ if name not in known)
    parts = [f"# {package}", f"```{{eval-rst}}\n.. automodule:: {package}\n```"]
    for title, names in {**SECTIONS[package], "More": more}.items():
        present = [name for name in names if name in module.__all__]
        if present:
            directives = "\n".join(_directive(module, name) for name in present)
            parts.append(f"## {title}\n\n```{{eval-rst}}\n{directives}\n```")
    return "\n\n".join(parts) + "\n"


def _directive(module: Any, name: str) -> str:
    value, path = getattr(module, name), f"{module.__name__}.{name}"
    if type(value) in (dict, tuple):
        return ""  # a table, which its users describe
    if not inspect.isclass(value):
        return f".. auto{'function' if callable(value) else 'data'}:: {path}\n"
    methods = [n for n, f in vars(value).items() if _is_method(n, f)]
    members = f"   :members: {', '.join(methods)}\n" if methods else ""
    return f".. autoclass:: {path}\n{members}"


def _is_method(name: str, found: Any) -> bool:
    function = getattr(found, "__func__", getattr(found, "fget", found))
    return not name.startswith("_") and inspect.isfunction(function) and bool(function.__doc__)


def _methods() -> str:
    parts = [
        "# Methods of papers",
        "One paper, one module. `--objective NAME:ARGUMENT=VALUE` and `--parameters` name them on "
        "the command line; see [the guide](../guides/methods.md).",
    ]
    for name in (*(n for package in MODULES for n in _submodules(package)), *ALONE):
        parts.append(f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```")
    return "\n\n".join(parts) + "\n"


def _submodules(package: str) -> list[str]:
    """Modules of a package that state a paper, and so are about a method."""
    import pkgutil

    try:
        found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    except ModuleNotFoundError:
        return []
    names = [f"{package}.{module.name}" for module in found]
    return [n for n in names if "http" in (importlib.import_module(n).__doc__ or "")]
