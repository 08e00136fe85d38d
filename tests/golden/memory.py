"""Checks of Hopfield layers and of Hopular against their sources.

Outputs and associations are compared in float32; outputs, losses and gradients of
`mean(output ** 2)` in float64. The sources stop a batch together, so these runs do, and take as
many steps as they need.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import checkpoints
import zoo
from checkpoints.convert.hflayers import DEFAULTS, function
from checkpoints.convert.hopfield import from_library
from tests.golden import fill
from zoo.hopfield import (
    STATIC,
    Convergence,
    Hopfield,
    HopfieldDecoderLayer,
    HopfieldEncoderLayer,
    HopfieldLayer,
    HopfieldMIL,
    HopfieldPooling,
    energy,
    retrieve,
)
from zoo.hopular import Hopular

MASKS = {  # our arguments by the sources' names
    "stored_pattern_padding_mask": "padding_mask",
    "src_key_padding_mask": "padding_mask",
    "tgt_key_padding_mask": "padding_mask",
    "memory_key_padding_mask": "memory_padding_mask",
    "mask": "padding_mask",
    "association_mask": "association_mask",
    "src_mask": "association_mask",
    "tgt_mask": "association_mask",
    "memory_mask": "memory_association_mask",
}
UNUSED = ("bias_k", "bias_v")  # the library has them and never reads them
LEARNED = ("pooling_weights", "lookup_weights", "target_weights")


def hopfield_errors(case: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of one case of family "hopfield"."""
    if "trajectory" in arrays:
        return retrieval_errors(case, arrays)
    model, config = build(case), case["config"]
    tensors, inputs = tensors_of(case, arrays), given(case, arrays)
    if sequence_first(config):
        inputs = [x.swapaxes(0, 1) for x in inputs]
        tensors = {n: t.swapaxes(0, 1) if leaf(n) in LEARNED else t for n, t in tensors.items()}
        quantity = getattr(model, "quantity", 1) if isinstance(model, HopfieldPooling) else None
        arrays = arrays | {"output": batch_major(arrays["output"], len(inputs[0]), quantity)}
    call = {
        MASKS[name]: jnp.asarray(arrays[f"input:{name}"])
        for name in case["input"].get("masks_stored", ())
    }
    return errors(model, tensors, inputs, call, arrays, case)


def errors(
    model: nn.Module,
    tensors: Mapping[str, np.ndarray],
    inputs: list[np.ndarray],
    call: Mapping[str, Any],
    arrays: dict[str, np.ndarray],
    case: Mapping[str, Any],
    source: str = "hopfield-layers",
) -> dict[str, float]:
    """Errors of output and association in float32; of output, loss and gradients in float64."""

    def apply(
        model: nn.Module, variables: Any, given: Sequence[Any] = inputs, **kwargs: Any
    ) -> Any:
        return model.apply(variables, *map(jnp.asarray, given), **call, **kwargs)

    single = {n: t.astype(np.float32) for n, t in tensors.items()}
    variables = checkpoints.import_weights(model, single, source)
    output = jax.jit(partial(apply, model, train=False))(variables)
    found = {"logits": relative(output, arrays["output"])}
    if "association" in arrays and hasattr(model, "associations"):
        association = apply(model, variables, method="associations")
        found["logits"] = max(found["logits"], relative(association, arrays["association"]))
    with jax.enable_x64(True):
        exact = in_double(model)
        variables = jax.tree.map(
            jnp.asarray, checkpoints.import_weights(exact, dict(tensors), source)
        )

        def loss(variables: Any, given: Any) -> Any:
            output = apply(exact, variables, given, train=False)
            return jnp.square(output).mean(), output

        step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (value, output), (gradients, of_inputs) = step(variables, inputs)
        gradients = checkpoints.export_weights(exact, gradients, source)
        gradients |= dict(zip(order_of(case["input"]), of_inputs, strict=False))
        norms = {name: float(np.linalg.norm(np.ravel(x))) for name, x in gradients.items()}
    found["float64"] = relative(output, arrays["output"])
    if "loss" in arrays:
        found["train logits"] = relative(value, arrays["loss"])
    if "grad_names" in arrays:
        found["gradients"] = gradient_error(norms, arrays, case["zero_grad_params"])
    return found


def gradient_error(
    found: Mapping[str, float], arrays: Mapping[str, np.ndarray], zero: list[str]
) -> float:
    """Largest error over all norms; gradients that vanish in theory count absolutely."""
    names = [str(name).removeprefix("input:") for name in arrays["grad_names"]]
    recorded = dict(zip(names, arrays["grad_norms"], strict=True))
    recorded = {n: norm for n, norm in recorded.items() if leaf(n) not in UNUSED}
    names = [n for n in recorded if n not in zero]
    vanishing = [found[counted(n)] for n in recorded if n in zero]
    if not names:
        return max(vanishing, default=0.0)
    error = relative([found[counted(n)] for n in names], [recorded[n] for n in names])
    return max([error, *vanishing])


def retrieval_errors(case: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of trajectories, energies, fixed points and gradients of plain retrieval."""
    beta, steps = float(case["config"]["beta"]), len(arrays["trajectory"]) - 1
    single = retrieve(jnp.asarray(arrays["stored"]), jnp.asarray(arrays["state"]), beta)
    with jax.enable_x64(True):
        stored, state = (jnp.asarray(arrays[n], jnp.float64) for n in ("stored", "state"))
        path = jnp.stack([retrieve(stored, state, beta, k) for k in range(steps + 1)])
        fixed = retrieve(stored, state, beta, 20_000)
        static = STATIC(beta=beta, dtype=jnp.float64)
        converged = static.clone(steps=None, convergence=Convergence(1e-9, 10_000, "batch"))
        layer = partial(static.apply, {}, stored[None], state[None])
        pairs = {
            "trajectory": path,
            "energy": energy(stored, path, beta),
            "fixed_points": fixed,
            "fixed_point_energy": energy(stored, fixed, beta),
            "output": layer(train=False)[0],
            "association": layer(method="associations"),
            "library_converged": converged.apply({}, stored[None], state[None], train=False)[0],
        }
        loss = lambda x, y: jnp.square(retrieve(x, y, beta, 2)).mean()  # noqa: E731
        gradients = jax.grad(loss, argnums=(0, 1))(stored, state)
        names = [str(n).removeprefix("input:") for n in arrays["grad_names"]]
        norms = dict(zip(("stored", "state"), map(jnp.linalg.norm, gradients), strict=True))
        wrong = {n: relative(found, arrays[n]) for n, found in pairs.items() if n in arrays}
    return {
        "logits": max([relative(single, arrays["output"]), *wrong.values()]),
        "gradients": relative([norms[n] for n in names], arrays["grad_norms"]),
    }


def association(config: Mapping[str, Any]) -> Hopfield:
    """Our layer for the library's `Hopfield`; arguments of layers around it are left out."""
    without_effect = ("batch_first", "concat_bias_pattern")  # on an association
    options = {n: v for n, v in config.items() if n in DEFAULTS and n not in without_effect}
    layer = from_library(**options)
    return layer.clone(convergence=layer.convergence._replace(max_steps=2_000))


def pooling(config: Mapping[str, Any]) -> HopfieldPooling:
    """Our layer for the arguments of the library's `HopfieldPooling`."""
    quantity, trainable = config.get("quantity", 1), config.get("trainable", True)
    return HopfieldPooling(association(config), quantity, trainable)


def lookup(config: Mapping[str, Any]) -> HopfieldLayer:
    """Our layer for the arguments of the library's `HopfieldLayer`."""
    return HopfieldLayer(
        association(config),
        quantity=config.get("quantity", 1),
        separate_targets=config.get("lookup_weights_as_separated", False),
        trainable=config.get("trainable", True),
        trainable_targets=config.get("lookup_targets_as_trainable", True),
    )


def block(config: Mapping[str, Any]) -> HopfieldEncoderLayer | HopfieldDecoderLayer:
    """Our block for the arguments of the library's encoder or decoder layer."""
    options = {
        "feedforward": config.get("dim_feedforward", 2048),
        "dropout": float(config.get("dropout", 0.1)),
        "activation": function(config.get("activation", "relu")),
    }
    parts = {n: association(c) for n, c in config.items() if isinstance(c, dict)}
    cross = [part for name, part in parts.items() if "cross" in name]
    if not cross:
        return HopfieldEncoderLayer(*parts.values(), **options)
    return HopfieldDecoderLayer(
        *[part for name, part in parts.items() if "cross" not in name], *cross, **options
    )


def decoder(config: Mapping[str, Any]) -> HopfieldDecoderLayer:
    """A decoder layer; both associations may share one entry."""
    parts = [part for part in config.values() if isinstance(part, dict)]
    if len(parts) == 1:
        config = dict(config) | {"hopfield_cross": parts[0]}
    return block(config)


def bags(config: Mapping[str, Any], outputs: int, *, readout: bool = False) -> HopfieldMIL:
    """The multiple-instance network: embedding, pooling, linear head."""
    embed, pool = config["embed"], config["pool"]
    widths = tuple(embed) if isinstance(embed, list) else (embed,)
    options = association(dict(pool) | {"input_size": widths[-1]})
    own = ("parent", "name", "input_size", "hidden_size", "heads", "beta", "dropout", "dtype")
    fields = [field.name for field in dataclasses.fields(Hopfield) if field.name not in own]
    return HopfieldMIL(
        widths=widths,
        heads=options.heads,
        hidden_size=options.hidden_size,
        beta=options.beta,
        dropout=options.dropout,
        quantity=pool.get("quantity", 1),
        association_cls=partial(Hopfield, **{name: getattr(options, name) for name in fields}),
        readout=jax.nn.relu if readout else jnp.asarray,
        num_classes=outputs,
    )


BUILDERS = {
    "Hopfield": association,
    "HopfieldPooling": pooling,
    "HopfieldLayer": lookup,
    "HopfieldEncoderLayer": block,
    "HopfieldDecoderLayer": decoder,
    "Sequential": bags,
}


def build(case: Mapping[str, Any]) -> nn.Module:
    """Our module for the constructor that a case names."""
    constructor = case["source"]["constructor"]
    kind = constructor.partition("(")[0].rpartition(".")[2]
    if kind not in BUILDERS:
        raise zoo.UsageError(f"no layer is known for {kind!r}")
    if kind == "Sequential":
        outputs = {counted(name): shape[0] for name, shape, _ in case["state_dict"] if shape}
        return bags(case["config"], outputs["head.bias"], readout="head=ReLU" in constructor)
    return BUILDERS[kind](case["config"])


def sequence_first(config: Mapping[str, Any]) -> bool:
    """Whether the library ran with batches along the second axis."""
    options = [config, *(value for value in config.values() if isinstance(value, dict))]
    return any(option.get("batch_first") is False for option in options)


def batch_major(output: np.ndarray, batch: int, quantity: int | None) -> np.ndarray:
    """What the library returned along the second axis, as we return it.

    The library flattens what pooling read out as if the batch came first: from (quantity, batch,
    depth) to (quantity, batch * depth). Nothing is lost by it, only misplaced.
    """
    if quantity is None:
        return output.swapaxes(0, 1)
    return output.reshape(quantity, batch, -1).swapaxes(0, 1).reshape(batch, -1)


def given(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The inputs of a case in the order in which the source was called with them."""
    specs, inputs = case["input"], []
    for name in order_of(specs):
        spec = specs[name]
        if "seed" in spec:
            inputs.append(fill.uniform(spec["seed"], spec["shape"]) * spec.get("scale", 1.0))
        else:
            inputs.append(arrays[f"input:{name}" if f"input:{name}" in arrays else name])
    return inputs


def order_of(specs: Mapping[str, Any]) -> list[str]:
    """Names of the inputs of a case, as they are called."""
    return specs.get("call_order") or [n for n, spec in specs.items() if isinstance(spec, dict)]


def tensors_of(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights of a case under our numbering of layers, without those that are never read."""
    tensors = fill.fill_state_dict(dict(case))
    tensors |= {name: arrays[f"param:{name}"] for name in case["stored_params"]}
    unread = (*UNUSED, *case["ignore_params"])
    return {
        counted(name): tensor
        for name, tensor in tensors.items()
        if leaf(name) not in unread and name not in unread
    }


def counted(name: str) -> str:
    """A name in which the maps of embedding and head count without the functions in between."""
    first, _, rest = name.partition(".")
    number, _, inside = rest.partition(".")
    if first == "embed":
        return f"embed.{int(number) // 2}.{inside}" if number.isdigit() else f"embed.0.{rest}"
    return f"head.{inside}" if first == "head" and number.isdigit() else name


def hopular(config: Mapping[str, Any]) -> Hopular:
    """Our network for the arguments of the repository's `Hopular`."""
    hidden = config.get("hidden_size", 32)
    return Hopular(
        tuple(config["input_sizes"]),
        tuple(config["feature_discrete"] or ()),
        width=config.get("feature_size", 32),
        hidden_size=hidden if hidden > 0 else None,
        hidden_factor=float(config.get("hidden_size_factor", 1.0)),
        heads=config.get("num_heads", 8),
        scale=float(config.get("scaling_factor", 1.0)),
        depth=config.get("num_blocks", 4),
    )


def hopular_errors(case: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of one case of family "hopular", those of what lies in between included."""
    mask = arrays.get("input:memory_mask")
    call = {} if mask is None else {"mask": jnp.asarray(mask)}
    model, tensors = hopular(case["config"]), tensors_of(case, arrays)
    rows, memory = arrays["input"], arrays["memory"]
    found = errors(model, tensors, [rows, memory], call, arrays, case, "hopular")
    single = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    variables = checkpoints.import_weights(model, single, "hopular")
    remembered = model.apply(variables, memory, method="remember")
    stages = model.apply(variables, rows, remembered, method="refined", **call)
    for name in {"embedding", "block0"} & arrays.keys():
        flat = arrays[name].reshape(len(rows), -1)
        error = relative(stages[name].reshape(flat.shape), flat)
        found["logits"] = max(found["logits"], error)
    return found


def in_double(model: nn.Module) -> nn.Module:
    """The same module, and every module in its fields, computing in float64."""
    inner = {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.init}
    changed = {n: in_double(m) for n, m in inner.items() if isinstance(m, nn.Module)}
    if "dtype" in inner:
        changed["dtype"] = jnp.float64
    return model.clone(**{n: m for n, m in changed.items() if n != "parent"})


def leaf(name: str) -> str:
    """The last part of a tensor's name."""
    return name.rpartition(".")[2]


def relative(found: Any, expected: Any) -> float:
    """Largest difference over the largest magnitude expected; infinite if shapes disagree."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return float("inf")
    return float(np.max(np.abs(found - expected)) / max(np.max(np.abs(expected)), 1e-30))
