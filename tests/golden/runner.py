"""Checks our models against recorded outputs of the reference implementations.

A case is `NAME.json` (what was run) and `NAME.npz` (what came out). Weights and inputs are not
stored: `fill.py` rebuilds them from names and shapes. The weights then take the same way into our
model as a published checkpoint does, and outputs, gradients and batch statistics are compared.

All errors are relative to the largest magnitude of the reference array. Evaluation is compared
in float32; training, where batch norm over two examples amplifies rounding, in float64.
"""

import ast
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import checkpoints
import zoo
from checkpoints.convert.rules import renumbered
from tests.golden import fill, memory, sequence
from tests.golden.compare import Outcome, gradient_error, norms, relative

TOLERANCE = 1e-5  # every comparison of a vision case
NUMBERED = ("conv2d", "batch_normalization")  # Keras layers whose numbers may begin anywhere
COLUMNS = ("logits", "train logits", "float64", "gradients", "batch stats")


def run(path: Path) -> Outcome:
    """Runs the case of one .json file."""
    case = json.loads(path.read_text())
    arrays = dict(np.load(path.with_suffix(".npz")))
    check = CHECKS.get(case["family"], check_vision)
    try:
        return check(case, arrays)
    except zoo.UsageError as error:
        return Outcome(case["case"], {}, str(error).splitlines()[0])


def check_vision(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Outcome:
    """Logits and features in float32; a training step's values in float64."""
    source, name, overrides = parse_constructor(case)
    build = partial(zoo.create_model, name, **overrides)
    tensors = fill.fill_state_dict(case)
    for kind in {"grad_names", "bn_names"} & arrays.keys():
        arrays[kind] = np.array(list(renumbered(arrays[kind].tolist(), NUMBERED).values()))
    errors = evaluate(build(), tensors, source, case, arrays)
    with jax.enable_x64(True):
        errors |= train(build(dtype=jnp.float64), tensors, source, case, arrays)
    worst = [f"{k} {e:.1e}" for k, e in errors.items() if not e <= TOLERANCE]
    return Outcome(case["case"], errors, "beyond 1e-5: " + ", ".join(worst) if worst else "")


def evaluate(
    model: Any,
    tensors: dict[str, np.ndarray],
    source: str,
    case: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> dict[str, float]:
    """Errors of logits, pooled features and auxiliary logits, computed in float32."""
    images = fill.make_input(case).astype(np.float32)
    recorded = [n for n in case["aux_outputs"] if f"{n}_eval" in arrays]
    tensors = {n: t.astype(np.float32) if t.ndim else t for n, t in tensors.items()}
    variables = checkpoints.import_weights(model, tensors, source)

    @jax.jit
    def forward(variables: Any, images: Any) -> Any:
        features = model.apply(variables, images, train=False, method="features")["pooled"]
        logits = model.apply(variables, images, train=False)
        if not recorded:
            return logits, features
        auxiliary = model.apply(variables, images, train=False, method="with_auxiliary")[1:]
        return logits, features, *auxiliary

    names = ["logits", "features", *(f"{name}_eval" for name in recorded)]
    found = zip(forward(variables, images), names, strict=True)
    return {"logits": max(relative(value, arrays[name]) for value, name in found)}


def train(
    model: Any,
    tensors: dict[str, np.ndarray],
    source: str,
    case: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> dict[str, float]:
    """Errors of train-mode logits and loss, gradient norms and updated running statistics.

    With auxiliary heads the loss is the main one plus their sum times a weight.
    """
    images, auxiliary = fill.make_input(case), case["aux_outputs"]
    method = "with_auxiliary" if auxiliary else None
    variables = jax.tree.map(jnp.asarray, checkpoints.import_weights(model, tensors, source))
    labels = jnp.arange(len(images)) % arrays["logits"].shape[-1]

    def loss(params: Any, images: Any) -> Any:
        state = {**variables, "params": params}
        outputs, updated = model.apply(
            state, images, train=True, mutable=["batch_stats"], method=method
        )
        outputs = outputs if auxiliary else (outputs,)
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels
        main, *others = (cross_entropy(logits, labels).mean() for logits in outputs)
        return main + case["aux_loss_weight"] * sum(others), (main, outputs, updated)

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (main, outputs, updated)), gradients = step(variables["params"], images)
    found = {"train_loss": value, **dict(zip(["train_logits", *auxiliary], outputs, strict=True))}
    found |= {"train_loss_main": main} if "train_loss_main" in arrays else {}
    zero = case["zero_grad_params"]
    errors = {
        "train logits": max(relative(v, arrays[name]) for name, v in found.items()),
        "gradients": gradient_error(norms(model, {"params": gradients}, source), arrays, zero),
    }
    if "bn_names" in arrays:
        errors["batch stats"] = statistics_error(norms(model, updated, source), arrays)
    return errors


def statistics_error(found: Mapping[str, float], arrays: dict[str, np.ndarray]) -> float:
    """Largest error over the norms of all running means and of all running variances."""
    if not arrays["bn_names"].size:
        return 0.0
    means = running(found, arrays["bn_names"], ".running_mean", "/moving_mean")
    variances = running(found, arrays["bn_names"], ".running_var", "/moving_variance")
    return max(
        relative(means, arrays["bn_mean_norms"]), relative(variances, arrays["bn_var_norms"])
    )


def running(found: Mapping[str, float], modules: np.ndarray, *endings: str) -> list[float]:
    """Norms of one kind of running statistic, however the source calls it."""
    return [next(found[m + e] for e in endings if m + e in found) for m in modules]


def check_preprocess(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Outcome:
    """Evaluation transform on photographs: 1e-3 anywhere and 2e-4 on average, absolutely."""
    from sklearn.datasets import load_sample_image

    worst, average = 0.0, 0.0
    for spec in case["cases"]:
        transform = checkpoints.Preprocess(
            image_size=spec["input_size"],
            crop_pct=spec["crop_pct"],
            interpolation=spec["interpolation"],
            mean=tuple(spec["mean"]),
            std=tuple(spec["std"]),
        )
        image = transform(load_sample_image(f"{spec['image']}.jpg"))
        rows, columns = arrays[f"{spec['id']}_index"].T
        error = np.abs(image[rows, columns] - arrays[f"{spec['id']}_pixels"])
        means = np.abs(image.mean(axis=(0, 1)) - arrays[f"{spec['id']}_mean"])
        worst = max(worst, error.max(), means.max())
        average = max(average, error.mean())
    failure = "" if worst <= 1e-3 and average <= 2e-4 else f"off by {worst:.1e}, mean {average:.1e}"
    return Outcome(case["case"], {"logits": float(worst)}, failure)


def check_memory(
    errors: Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, float]],
    case: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> Outcome:
    """Outputs and associations in float32, loss and gradients in float64."""
    found = errors(case, arrays)
    worst = [f"{k} {e:.1e}" for k, e in found.items() if not e <= TOLERANCE]
    return Outcome(case["case"], found, "beyond 1e-5: " + ", ".join(worst) if worst else "")


CHECKS: dict[str, Callable[[dict[str, Any], dict[str, np.ndarray]], Outcome]] = {
    "lssl": sequence.check_lssl,
    "preprocess": check_preprocess,
    "hopfield": partial(check_memory, memory.hopfield_errors),
    "hopular": partial(check_memory, memory.hopular_errors),
}


# Arguments of constructors whose names differ from our fields', and those without effect: cases
# store their weights' shapes and are recorded without dropout and drop path.
FIELDS = {
    "img_size": "image_size",
    "embed_dim": "width",
    "inner_dim": "inner_width",
    "num_heads_outer": "heads",
    "num_heads_inner": "inner_heads",
    "base_dims": "head_dims",
    "recursive_num": "shared_blocks",
    "groups1": "slices",
    "groups2": "permuted_slices",
    "np_mlp_ratio": "between_ratio",
}
UNUSED = (
    *("pretrained", "drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate"),
    *("patch_size", "stride", "weights", "progress", "init_weights", "transform_input"),
    *("aux_logits", "classes", "include_top", "classifier_activation", "input_shape", "pooling"),
)

# Arguments of the bare classes of the SReT repository, in order, and the row that they override.
SRET_CLASSES = {
    "SReT": "sret_t",
    "Distilled_SReT": "sret_t",
    "RecursiveTransformer": "sret_t_wo_slice",
    "DistilledRecursiveTransformer": "sret_t_wo_slice",
}
SRET_STAGES = ("base_dims", "depth", "recursive_num")
SRET_ARGUMENTS = {
    "sret_t": ("groups1", "groups2", "heads", "mlp_ratio", "np_mlp_ratio"),
    "sret_t_wo_slice": ("heads", "mlp_ratio", "np_mlp_ratio"),
}


def parse_constructor(case: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Source library, our architecture and its overrides, from a call with literal arguments.

    `timm.create_model('resnet50', num_classes=10)` and `torchvision.models.resnet50(...)` are
    read as syntax and never evaluated.
    """
    call = ast.parse(case["source"]["constructor"], mode="eval").body
    assert isinstance(call, ast.Call)
    library, _, function = ast.unparse(call.func).partition(".")
    arguments = [ast.literal_eval(a) for a in call.args]
    keywords = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    name = arguments[0] if function == "create_model" else function.rpartition(".")[2]
    if library in ("SReT", "SReT_wo_slice"):
        library, name, keywords = "sret", *sret_constructor(name, arguments, keywords)
        keywords["permutation"] = sret_permutation(case)
    name = NAMES.get((library, name), name)
    overrides = {"num_classes": keywords.get("classes", case["num_classes"])} | {
        FIELDS.get(keyword, keyword): tuple(value) if isinstance(value, list) else value
        for keyword, value in keywords.items()
        if keyword not in UNUSED
    }
    auxiliary = keywords.get("aux_logits", (library, name) in AUXILIARY_BY_DEFAULT)
    return library, name, overrides | ({"aux_heads": True} if auxiliary else {})


# Constructors whose name in a library is not that of our architecture.
NAMES = {
    ("torchvision", "GoogLeNet"): "googlenet",
    ("torchvision", "Inception3"): "inception_v3",
    ("keras", "InceptionV3"): "inception_v3_keras",
    ("keras", "InceptionResNetV2"): "inception_resnet_v2_keras",
    ("keras", "NASNetLarge"): "nasnetalarge_keras",
    ("keras", "NASNetMobile"): "nasnetamobile",
}
AUXILIARY_BY_DEFAULT = {("torchvision", "googlenet"), ("torchvision", "inception_v3")}


def sret_constructor(
    function: str, arguments: list[Any], keywords: dict[Any, Any]
) -> tuple[str, dict[Any, Any]]:
    """Our row for a constructor of the SReT repository, `SReT_T` or the bare class `SReT`."""
    if function not in SRET_CLASSES:
        return function.lower(), keywords
    name = SRET_CLASSES[function]
    order = ("image_size", "patch_size", "stride", *SRET_STAGES, *SRET_ARGUMENTS[name])
    keywords = dict(zip((*order, "num_classes"), arguments, strict=False)) | keywords
    depth, shared = keywords.pop("depth", (4, 10, 6)), keywords.get("recursive_num", (2, 5, 3))
    passes = tuple(d // blocks for d, blocks in zip(depth, shared, strict=False))
    return name, keywords | {"recursions": passes}


def sret_permutation(case: dict[str, Any]) -> Callable[[int, int], np.ndarray]:
    """What the recorded run drew instead of random permutations."""
    if any("randperm replaced by the identity" in note for note in case.get("notes", ())):
        return lambda draw, tokens: np.arange(tokens)
    return lambda draw, tokens: fill.make_permutation(f"randperm.{draw}", tokens)
