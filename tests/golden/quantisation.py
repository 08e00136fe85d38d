"""Checks of kernels of few values against the code of quantised distillation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.golden import fill
from tests.golden.compare import Outcome, relative
from tests.golden.repositories import Call, parse_call
from zoo.errors import UsageError
from zoo.parameters.points import nearest, uniform

TOLERANCE = 1e-5

# Arguments of the two functions, in order.
ARGUMENTS = {
    "uniformQuantization": (
        *("tensor", "s", "type_of_scaling", "stochastic_rounding", "max_element"),
        *("subtract_mean", "bucket_size", "modify_in_place"),
    ),
    "nonUniformQuantization": (
        *("tensor", "listQuantizationPoints", "max_element", "subtract_mean", "modify_in_place"),
        "bucket_size",
    ),
}


def check(case: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> Outcome:
    """Rounded values in float32, in which the source computes."""
    quantised = described(case["source"]["constructor"])
    spec = case["inputs"]["w"]
    kernel = jnp.asarray(fill.uniform(spec["seed"], spec["shape"]), jnp.float32)
    error = relative(jax.jit(quantised)(kernel), arrays["output"])
    failure = (
        "" if error <= TOLERANCE else f"beyond tolerance: logits {error:.1e} > {TOLERANCE:.0e}"
    )
    return Outcome(case["case"], {"logits": error}, failure)


def described(constructor: str) -> Callable[[Any], Any]:
    """What rounds a kernel as a call of the source does, whose first argument is `w`."""
    function, options = read(constructor)
    bucket = options.get("bucket_size")
    before = bounded(options.get("max_element", False), options.get("subtract_mean", False))
    if function == "uniformQuantization":
        return before(lambda kernel: uniform(kernel, options["s"], bucket))
    points = jnp.asarray(options["listQuantizationPoints"], jnp.float32)
    return before(lambda kernel: nearest(kernel, points, bucket))


def read(constructor: str) -> tuple[str, dict[str, Any]]:
    """Function and options of a call."""
    found: Call = parse_call(constructor.replace("(w,", "(None,", 1))[1]
    order = ARGUMENTS.get(found.function)
    if order is None:
        raise UsageError(f"nothing is known of {found.function!r}")
    options = dict(zip(order, found.arguments, strict=False)) | found.keywords
    if unknown := set(options) - set(order):
        raise UsageError(f"nothing is known of {found.function}'s argument {min(unknown)}")
    if options.get("stochastic_rounding") or options.get("type_of_scaling", "linear") != "linear":
        raise UsageError("only linear scaling and rounding to the nearest can be compared")
    return found.function, options


def bounded(most: Any, centred: bool) -> Callable[[Any], Callable[[Any], Any]]:
    """Bounds and centring of the source around a rounding, of which ours has neither."""

    def around(rounded: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def changed(kernel: Any) -> Any:
            mean = kernel.mean() if centred else 0.0
            shifted = kernel - mean
            limited = shifted if most is False else jnp.clip(shifted, -most, most)
            return rounded(limited) + mean

        return changed

    return around
