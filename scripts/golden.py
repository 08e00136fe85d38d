"""Golden cases of the reference libraries, in the form that `python -m tests.golden` reads.

    python -m scripts.golden FOLDER "timm.create_model('resnet26t', num_classes=10)" 65 97
    python -m scripts.golden FOLDER

The first form records one constructor on images of 65 × 97 pixels, in evaluation and in a step of
training. The second records every architecture that timm, torchvision or Keras has too, in
evaluation, on images of odd sizes. The libraries come with `pip install -e ".[reference]"`.
"""

import argparse
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from scripts.counts import KERAS
from scripts.reference import keras, timm, torch, torchvision
from tests.golden import fill
from tests.golden.constructors import parse_call
from zoo.catalogue import CATALOGUE

GAIN = 1.2  # keeps activations of all families between 0.01 and 10 or so
AUXILIARY_WEIGHTS = {"googlenet": 0.3, "inception_v3": 0.4}
SIZES = ((65, 65), (71, 64), (64, 83), (63, 77))
INCEPTION_SIZE, KERAS_SIZE = (107, 139), (91, 107)
LIBRARIES = {"timm": timm, "torchvision": torchvision, "keras": keras}
Arrays = dict[str, Any]


def main() -> None:
    """Writes NAME.json and NAME.npz for every case asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("constructor", nargs="?", help="a call with literal arguments")
    parser.add_argument("size", nargs="*", type=int, help="height and width, in pixels")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    asked = [(options.constructor, tuple(options.size))] if options.constructor else every()
    for constructor, size in asked:
        name = write(options.folder, constructor, size, train=bool(options.constructor))
        print(name, flush=True)


def every() -> Iterator[tuple[str, tuple[int, ...]]]:
    """A constructor and a size for each row that a library has as well."""
    theirs = set(torchvision.models.list_models())
    for i, name in enumerate(CATALOGUE):
        size = INCEPTION_SIZE if name.startswith(("inception", "nasnet", "pnasnet")) else None
        size = size or SIZES[i % len(SIZES)]
        if name in KERAS:
            shape = f"input_shape={(*KERAS_SIZE, 3)}, classes=10, classifier_activation=None"
            yield f"keras.applications.{KERAS[name]}(weights=None, {shape})", KERAS_SIZE
        elif timm.is_model(name):
            tnt = name.startswith("tnt")
            yield (
                f"timm.create_model({name!r}, num_classes=10{', img_size=[64, 96]' * tnt})",
                (64, 96) if tnt else size,
            )
        if name in theirs:
            more = ", aux_logits=False, init_weights=False" * (name in AUXILIARY_WEIGHTS)
            yield f"torchvision.models.{name}(weights=None, num_classes=10{more})", size


def write(folder: Path, constructor: str, size: tuple[int, ...], *, train: bool) -> str:
    """Records one case; returns its name."""
    library, call = parse_call(constructor)
    architecture = call.arguments[0] if call.arguments else call.function
    name = "_".join([library, architecture, "x".join(map(str, size))])
    model = eval(constructor, dict(LIBRARIES))  # the caller's own words
    record = keras_case if library == "keras" else torch_case
    channels = call.keywords.get("in_chans", 3)
    case: dict[str, Any] = {
        "case": name,
        "family": "vision",
        "fill": "zoo-fill-v1",
        "layout": "keras" if library == "keras" else "torch",
        "source": {
            "library": library,
            "version": LIBRARIES[library].__version__,
            "constructor": constructor,
        },
        "input": {"shape": [2, *size, channels], "seed": zlib.crc32(name.encode()) % 100_000},
        "gain": GAIN,
        "aux_outputs": [],
        "aux_loss_weight": AUXILIARY_WEIGHTS.get(architecture, 0.0),
        "zero_grad_params": [],
    }
    arrays = record(case, model, train=train)
    case["num_classes"] = arrays["logits"].shape[-1]
    (folder / f"{name}.json").write_text(json.dumps(case, indent=1))
    np.savez(folder / f"{name}.npz", **arrays)
    return name


def torch_case(case: dict[str, Any], model: Any, *, train: bool) -> Arrays:
    """What a PyTorch model computes in float64, without dropout and drop path."""
    case["state_dict"] = [
        [name, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for name, tensor in model.state_dict().items()
    ]
    tensors = {n: torch.from_numpy(np.asarray(t)) for n, t in fill.fill_state_dict(case).items()}
    for module in model.modules():
        for rate in ("p", "drop_prob", "drop_rate"):  # of dropout, drop path, the head
            if isinstance(getattr(module, rate, None), float):
                setattr(module, rate, 0.0)
    images = torch.from_numpy(fill.make_input(case).transpose(0, 3, 1, 2).copy())
    model.double().load_state_dict(tensors)
    model.eval()
    with torch.no_grad():
        arrays = {
            n if n == "logits" else f"{n}_eval": a for n, a in torch_outputs(model(images)).items()
        }
        arrays["features"] = torch_features(model, images)
        single = torch_outputs(model.float()(images.float()))["logits"]
    error = (single - arrays["logits"]).abs().max() / arrays["logits"].abs().max()
    case["diagnostics"] = {"float32_rel_err": {"logits": float(error)}}
    model.double().load_state_dict(tensors)
    arrays |= torch_training(case, model, images) if train else {}
    return {n: a.detach().numpy() if hasattr(a, "detach") else a for n, a in arrays.items()}


def torch_outputs(result: Any) -> dict[str, Any]:
    """Logits and auxiliary logits by name; GoogLeNet's come from the deepest to the first."""
    if hasattr(result, "_asdict"):
        fields = {n: a for n, a in result._asdict().items() if a is not None}
        return {
            f"aux{n[-1]}_logits" if n[-1].isdigit() else n: fields[n]
            for n in sorted(fields, key=lambda n: (n != "logits", n))
        }
    if isinstance(result, tuple):
        return dict(zip(("logits", "aux_logits"), result, strict=True))
    return {"logits": result}


def torch_features(model: Any, images: Any) -> Any:
    """What enters the classifier."""
    if hasattr(model, "forward_head"):
        features = model.forward_features(images)
        features = features[0] if isinstance(features, tuple) else features  # auxiliary logits
        return model.forward_head(features, pre_logits=True)
    classifier, model.fc = model.fc, torch.nn.Identity()
    features = torch_outputs(model(images))["logits"]
    model.fc = classifier
    return features


def torch_training(case: dict[str, Any], model: Any, images: Any) -> Arrays:
    """Values, gradient norms and running statistics of one step in training."""
    model.train()
    outputs = torch_outputs(model(images))
    labels = torch.arange(len(images)) % outputs["logits"].shape[-1]
    losses = [torch.nn.functional.cross_entropy(logits, labels) for logits in outputs.values()]
    loss = losses[0] + case["aux_loss_weight"] * sum(losses[1:])
    loss.backward()
    gradients = {n: p.grad.norm().item() for n, p in model.named_parameters() if p.requires_grad}
    norms = {n: m for n, m in model.named_modules() if hasattr(m, "running_mean")}
    statistics = {
        "mean": {n: m.running_mean.norm().item() for n, m in norms.items()},
        "var": {n: m.running_var.norm().item() for n, m in norms.items()},
    }
    logits = [outputs.pop("logits"), *outputs.values()]
    case["aux_outputs"] = list(outputs)
    arrays = dict(zip(("train_logits", *outputs), logits, strict=True))
    arrays |= {"train_loss": loss, "train_loss_main": losses[0]}
    return arrays | of_training(case, gradients, statistics)


def of_training(
    case: dict[str, Any], gradients: dict[str, float], statistics: dict[str, dict[str, float]]
) -> Arrays:
    """Norms as arrays; parameters that have no gradient but rounding are listed in the case."""
    floor = 1e-10 * max(gradients.values())
    case["zero_grad_params"] = [n for n, norm in gradients.items() if norm < floor]
    return {
        "grad_names": np.array(list(gradients)),
        "grad_norms": np.array(list(gradients.values())),
        "bn_names": np.array(list(statistics["mean"]), dtype=str),
        **{f"bn_{kind}_norms": np.array(list(s.values())) for kind, s in statistics.items()},
    }


def keras_case(case: dict[str, Any], model: Any, *, train: bool) -> Arrays:
    """What a Keras model computes in float64; it was made under that `floatx`."""
    case["state_dict"] = [[w.path, list(w.shape), "float64"] for w in model.weights]
    tensors = fill.fill_state_dict(case)
    for weight in model.weights:
        weight.assign(tensors[weight.path])
    images = fill.make_input(case)
    pooled = keras.Model(model.input, model.layers[-2].output)
    arrays = {
        "logits": np.asarray(model(images, training=False)),
        "features": np.asarray(pooled(images, training=False)),
    }
    return arrays | (keras_training(case, model, images) if train else {})


def keras_training(case: dict[str, Any], model: Any, images: np.ndarray) -> Arrays:
    """Values, gradient norms and running statistics of one step in training."""
    state = [w.value for w in model.non_trainable_variables]

    def objective(trainable: Any) -> Any:
        logits, updated = model.stateless_call(trainable, state, images, training=True)
        labels = np.arange(len(images)) % logits.shape[-1]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), (logits, updated)

    trainable = [w.value for w in model.trainable_variables]
    step = jax.jit(jax.value_and_grad(objective, has_aux=True))
    (loss, (logits, updated)), gradients = step(trainable)
    size = lambda x: math.sqrt(float(np.square(x).sum()))  # noqa: E731
    norms = {w.path: size(g) for w, g in zip(model.trainable_variables, gradients, strict=True)}
    moved = {w.path: size(x) for w, x in zip(model.non_trainable_variables, updated, strict=True)}
    statistics = {
        kind: {n.removesuffix(end): x for n, x in moved.items() if n.endswith(end)}
        for kind, end in (("mean", "/moving_mean"), ("var", "/moving_variance"))
    }
    arrays = {"train_logits": np.asarray(logits), "train_loss": np.asarray(loss)}
    return arrays | of_training(case, norms, statistics)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    main()
