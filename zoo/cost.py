"""What a forward pass costs, counted on its traced program."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def count_macs(model: nn.Module, shape: tuple[int, ...], *, variables: Any = None) -> int:
    """Multiply-adds of all convolutions and matrix products for one input.

    The model is traced, not run. Products with zeros of the padding count, as is usual.

    Args:
        model: module called as `model(images, train=False)`.
        shape: (height, width, channels) of an image, (length, channels) of a sequence.
        variables: those of the model, or their shapes, if they are at hand: it saves a trace.
    """
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    if variables is None:
        variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    program = jax.make_jaxpr(partial(model.apply, train=False))(variables, images)
    return _count(program.jaxpr)


def count_flops(function: Callable[..., Any], *arguments: Any) -> int:
    """Operations of all convolutions and matrix products of a function, two for a multiply-add.

    It is traced, not run. Of a loop without a fixed length one turn counts.

    Args:
        function: of arrays, such as an update with its gradients.
        arguments: arrays or their shapes.
    """
    return 2 * _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: Any) -> int:
    return sum(_equation(equation) for equation in jaxpr.eqns)


def _equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "conv_general_dilated":
        return _convolution(equation)
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
    if name == "cond":  # forms for several platforms, of which one is a convolution
        return max(_count(branch.jaxpr) for branch in params["branches"])
    repeats = params.get("length", 1) if name == "scan" else 1
    inner = (p.jaxpr if hasattr(p, "jaxpr") else p for p in params.values())
    return repeats * sum(_count(p) for p in inner if hasattr(p, "eqns"))


def _convolution(equation: Any) -> int:
    """Every output is a sum over the kernel's area and the channels of its group."""
    kernel = equation.invars[1].aval.shape
    spec = equation.params["dimension_numbers"].rhs_spec  # (out, in, height, width)
    products = equation.outvars[0].aval.size * math.prod(kernel[axis] for axis in spec[1:])
    return products // math.prod(equation.params["lhs_dilation"])  # the holes are not multiplied
