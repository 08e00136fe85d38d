"""Checks of BitNet's linear layer, as a network's `Dense` computes it, against its authors'."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from tests.golden import fill
from tests.golden.compare import gradient_error, relative
from tests.golden.repositories import parse_call
from zoo.errors import UsageError
from zoo.layers.dense import Dense
from zoo.parameters.bitnet import BitNet, Rounding

MEASURES = {"AbsMax": "max", "AbsMean": "mean", "AbsMedian": "median", None: None}
LEVELS = {1.58: (-1, 1)}  # of a number of bits that is none
# The constructor's arguments, in order; those without a name of ours say nothing of the values.
ARGUMENTS = ("in_features", "out_features", "bias", "device", "dtype", "eps", "weight_range")
ARGUMENTS += ("weight_measure", "activation_range", "activation_measure", "kernel", "strategy")
ARGUMENTS += ("lambda_",)
UNUSED = ("in_features", "device", "dtype", "kernel")


def bitlinear_errors(case: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of outputs in float32; of outputs, scale, levels and gradients in float64."""
    layer, rounding = described(case)
    _, inputs, variables = given(case, np.float32)
    forward = jax.jit(lambda v, x: intercepted(layer, rounding, v, x))
    errors = {"logits": relative(forward(variables, inputs), arrays["output"])}
    with jax.enable_x64(True):
        (weight, *_), inputs, variables = given(case, np.float64)

        def loss(variables: Any, inputs: Any) -> tuple[Any, Any]:
            output = intercepted(layer, rounding, variables, inputs)
            return jnp.square(output).mean(), output

        step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (_, output), (gradients, of_inputs) = step(variables, inputs)
        whole = Rounding(**{**vars(rounding), "blend": 1.0})
        levels, scale = whole.of_kernel(jnp.asarray(weight))
        errors["float64"] = max(
            relative(output, arrays["output"]),
            relative(scale, arrays["weight_scale"]) if "weight_scale" in arrays else 0.0,
            relative(levels, arrays["ternary"]) if "ternary" in arrays else 0.0,
        )
        theirs = {"kernel": "weight", "bias": "bias"}
        found = gradients["params"].items()
        norms = {theirs[name]: float(jnp.linalg.norm(leaf)) for name, leaf in found}
        errors["gradients"] = max(
            gradient_error(norms, arrays, case["zero_grad_params"]),
            relative(of_inputs, arrays["input_grad"]),
        )
    return errors


def intercepted(layer: Any, rounding: Rounding, variables: Any, inputs: Any) -> Any:
    """What a `Dense` computes inside the interceptor."""
    bits = BitNet(("",), rounding)
    with nn.intercept_methods(lambda *call: bits((), *call)):
        return layer.apply(variables, inputs)


def described(case: Mapping[str, Any]) -> tuple[Any, Rounding]:
    """The layer and its rounding, from the constructor."""
    function, arguments, keywords = parse_call(case["source"]["constructor"])[1]
    options = dict(zip(ARGUMENTS, arguments, strict=False)) | keywords
    if unknown := set(options) - set(ARGUMENTS):
        raise UsageError(f"nothing is known of {function}'s argument {min(unknown)}")
    if options.get("strategy", "round_clamp") != "round_clamp":
        raise UsageError("a strategy that draws random numbers cannot be compared")
    fields = {
        "kernels": MEASURES[options.get("weight_measure", "AbsMedian")],
        "inputs": MEASURES[options.get("activation_measure", "AbsMax")],
        "kernel_levels": levels_of(options.get("weight_range", 1.58)),
        "input_levels": levels_of(options.get("activation_range", 8)),
        "blend": float(options.get("lambda_", 1)),
        "floor": options.get("eps", 1e-5),
    }
    layer = Dense(options["out_features"], use_bias=options.get("bias", True))
    return layer, Rounding(**fields)


def levels_of(given: Any) -> tuple[int, int]:
    """Smallest and largest level, of a number of bits or as they are."""
    if isinstance(given, list | tuple):
        return int(given[0]), int(given[1])
    return LEVELS.get(given) or (-(2 ** (given - 1)), 2 ** (given - 1) - 1)


def given(case: Mapping[str, Any], dtype: Any) -> tuple[Any, Any, Any]:
    """Weights as the source has them, inputs, and the layer's variables."""
    tensors = {n: t.astype(dtype) for n, t in fill.fill_state_dict(dict(case)).items()}
    params = {"kernel": jnp.asarray(tensors["weight"].T)}
    if "bias" in tensors:
        params["bias"] = jnp.asarray(tensors["bias"])
    inputs = jnp.asarray(fill.make_input(dict(case)), dtype)
    return list(tensors.values()), inputs, {"params": params}
