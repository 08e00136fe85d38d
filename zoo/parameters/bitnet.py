r"""Layers that compute with kernels of three values and inputs of eight bits: BitNet b1.58.

.. math:: x_q = \mathrm{clip}(\mathrm{round}(s_x \,\mathrm{norm}(x)), -128, 127), \quad
    W_q = \mathrm{clip}(\mathrm{round}(s_w W), -1, 1), \quad y = (x_q W_q + b) / (s_x s_w)

with \(s_x = 128 / \max |\mathrm{norm}(x)|\) of each token and \(s_w\) one over the median, or the
mean, of \(|W|\). The norm is layer norm over the channels without parameters. Gradients go
through the rounding as if there were none, and not into the scales. Nielsen & Schneider-Kamp 2024,
"BitNet b1.58 Reloaded", https://arxiv.org/abs/2407.09527, section 3, and its code, which adds the
bias before it divides.

Convolutions are not in that paper: there a token is a pixel, and the bias is added as it is, for
the pixels of a window have scales of their own.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.conv import Conv
from zoo.layers.dense import linear
from zoo.layers.wide import wide
from zoo.parameters.select import matches, several
from zoo.parameters.ternary import checked_measure, measured


@dataclasses.dataclass(frozen=True)
class Rounding:
    """How kernels and inputs are rounded.

    Attributes:
        kernels: "median", "mean" or "max" of a kernel's entries, which becomes one; None leaves
            kernels as they are. With "max" a kernel of three values stays what it is.
        inputs: "max", "mean" or "median" of a token's channels, which becomes the largest level;
            None leaves inputs as they are, without a norm.
        kernel_levels: smallest and largest level of kernels.
        input_levels: those of inputs.
        blend: share of what is rounded in what is computed with, the rest is not; 1 is BitNet.
        floor: least measure, so that scales stay finite.
    """

    kernels: str | None = "median"
    inputs: str | None = "max"
    kernel_levels: tuple[int, int] = (-1, 1)
    input_levels: tuple[int, int] = (-128, 127)
    blend: float = 1.0
    floor: float = 1e-5

    def __post_init__(self):
        for name in ("kernels", "inputs"):
            checked_measure(name, getattr(self, name), also=None)

    def of_kernel(self, kernel: Float[Array, "..."]) -> tuple[Any, Any]:
        """A kernel on its levels, and its scale."""
        if self.kernels is None:
            return kernel, 1.0
        scale = self._scale(kernel, self.kernels, self.kernel_levels, None)
        return self._rounded(kernel * scale, self.kernel_levels), scale

    def of_inputs(self, x: Float[Array, "*b c"]) -> tuple[Any, Any]:
        """Normalised inputs on their levels, and the scale of each token."""
        if self.inputs is None:
            return x, 1.0
        x = normalized(x)
        scale = self._scale(x, self.inputs, self.input_levels, -1)
        return self._rounded(x * scale, self.input_levels), scale

    def _scale(self, x: Any, measure: str, levels: tuple[int, int], axis: int | None) -> Any:
        size = measured(jax.lax.stop_gradient(x), measure, axis)
        return max(map(abs, levels)) / jnp.maximum(size, self.floor)

    def _rounded(self, x: Any, levels: tuple[int, int]) -> Any:
        nearest = jnp.clip(jnp.round(x), *levels)
        return x + self.blend * jax.lax.stop_gradient(nearest - x)


def bit_linear(
    x: Float[Array, "*b c"],
    kernel: Float[Array, "c d"],
    bias: Float[Array, " d"] | None,
    rounding: Rounding,
) -> Float[Array, "*b d"]:
    """The layer, as the formula above has it."""
    (levels, of_inputs), (weights, of_kernel) = rounding.of_inputs(x), rounding.of_kernel(kernel)
    y = linear(levels, weights)
    if bias is not None:
        y = y + jnp.expand_dims(bias, tuple(range(y.ndim - 1)))
    return y / (of_inputs * of_kernel)


@dataclasses.dataclass(frozen=True)
class BitNet:
    """Interceptor of a network's `Conv`s and `Dense`s, which computes them so.

    Attributes:
        patterns: of the layers' paths, as in `zoo.parameters.select`.
        rounding: of their kernels and inputs.
    """

    patterns: tuple[str, ...]
    rounding: Rounding

    def __call__(
        self, root: Sequence[str], call: Any, args: Any, options: Any, context: Any
    ) -> Any:
        """The call of a layer, or of a convolution's `effective`."""
        module, method = context.module, context.method_name
        if not isinstance(module, Conv | nn.Dense) or not self._names(module.path[len(root) :]):
            return call(*args, **options)
        if method == "effective":
            levels, scale = self.rounding.of_kernel(call(*args, **options))
            return levels / scale
        if method != "__call__":
            return call(*args, **options)
        if isinstance(module, nn.Dense) and module.has_variable("params", "kernel"):
            return self._dense(module, *args, **options)
        levels, scale = self.rounding.of_inputs(args[0])
        return call(levels / scale, *args[1:], **options)

    def _dense(self, module: nn.Dense, inputs: Any) -> Any:
        variable = lambda name: jnp.asarray(module.get_variable("params", name), dtype)  # noqa: E731
        dtype = module.dtype or wide(inputs.dtype)
        bias = variable("bias") if module.use_bias else None
        return bit_linear(jnp.asarray(inputs, dtype), variable("kernel"), bias, self.rounding)

    def _names(self, path: Sequence[str]) -> bool:
        return any(matches(pattern, "/".join(path)) for pattern in self.patterns)


def bitnet(patterns: str | Sequence[str] = "", **rounding: Any) -> BitNet:
    """An interceptor, as a card names it.

    >>> bits = bitnet("^stage", kernels="mean")
    >>> model = zoo.create_model("resnet8").clone(interceptors=(bits,))

    Args:
        patterns: of layers' paths; the empty one is every layer.
        rounding: fields of `Rounding`.

    Raises:
        UsageError: there is no such measure.
    """
    levels: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in rounding.items()
    }
    return BitNet(tuple(several(patterns)), Rounding(**levels))


def normalized(x: Float[Array, "*b c"], epsilon: float = 1e-5) -> Float[Array, "*b c"]:
    """Mean zero and variance one over the last axis."""
    precise = x.astype(wide(x.dtype))
    centred = precise - precise.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)
