r"""Initialisers as data: a distribution that can be called, or read.

Called as `initializer(key, shape, dtype)` they behave like `jax.nn.initializers`. Being plain
data they can also be *read*: inside `recording()` a call returns no numbers but a box that holds
the initialiser beside the shape, so that `zoo.init_variables` learns every distribution of a
network from one abstract trace and draws them all with a single compiled kernel.

He normal initialisation draws from \(\mathcal N(0, 2 / \mathrm{fan})\), where fan counts the
inputs (`"fan_in"`) or outputs (`"fan_out"`) of one unit: He et al. 2015,
https://arxiv.org/abs/1502.01852. `"fan_avg"`, the mean of both, is Glorot's & Bengio's: 2010,
https://proceedings.mlr.press/v9/glorot10a.html.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta
from jaxtyping import Array, Key

_RECORDING = contextvars.ContextVar("recording", default=False)


@dataclasses.dataclass(frozen=True)
class Initializer:
    """`mean + std(shape) * noise`, where noise is standard normal or uniform in [-1, 1).

    Attributes:
        noise: the standard distribution; `"none"` for a constant.
        mean: the constant part; a (nested) tuple has one for each entry of the last axes.
        gain: standard deviation (half width, if uniform) where `fan` is None; otherwise
            that of a unit with a single input, divided by the root of the fan.
        fan: which connections of one unit to count, or None for a plain standard deviation.
    """

    noise: Literal["normal", "uniform", "none"] = "normal"
    mean: float | tuple[Any, ...] = 0.0
    gain: float = 1.0
    fan: Literal["fan_in", "fan_out", "fan_avg"] | None = None

    def scale(self, shape: tuple[int, ...]) -> float:
        """Factor of the noise for one kernel of `shape` (..., inputs, outputs)."""
        if self.fan is None:
            return self.gain
        inputs, outputs = math.prod(shape[:-1]), _fan_out(shape)
        counts = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}
        return self.gain / math.sqrt(counts[self.fan])

    def __call__(
        self, key: Key[Array, ""] | None, shape: tuple[int, ...], dtype: Any = float
    ) -> Any:
        """Draws an array, or returns a box with the recipe of one inside `recording()`."""
        dtype = jax.dtypes.canonicalize_dtype(dtype)
        if _RECORDING.get():
            return Recipe(jnp.zeros(shape, dtype), self, tuple(shape))
        mean = jnp.full(shape, np.asarray(self.mean), dtype)
        if self.noise == "none" or key is None:
            return mean
        draw = {"normal": jax.random.normal, "uniform": _symmetric_uniform}[self.noise]
        return mean + self.scale(shape) * draw(key, shape, dtype)


class Recipe(flax.struct.PyTreeNode, meta.AxisMetadata[Any]):
    """A parameter still to be drawn: its shape (as a traced array) and its initialiser.

    `shape` is the shape of one kernel; a stack made by `nn.scan` has further axes in `value`.
    """

    value: Any
    initializer: Initializer = flax.struct.field(pytree_node=False)
    shape: tuple[int, ...] = flax.struct.field(pytree_node=False)

    def unbox(self) -> Any:
        return self.value

    def replace_boxed(self, val: Any) -> Any:
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> Any:
        return self

    def remove_axis(self, index: int, params: dict[Any, Any]) -> Any:
        return self


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Within it initialisers return `Recipe` boxes instead of numbers."""
    token = _RECORDING.set(True)
    try:
        yield
    finally:
        _RECORDING.reset(token)


def _fan_out(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:-2]) * shape[-1]


def _symmetric_uniform(key: Key[Array, ""], shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


def constant(values: Any) -> Initializer:
    """Always the same numbers: one, or an array of them."""
    return Initializer("none", mean=_nested(np.asarray(values, np.float64).tolist()))


def _nested(values: Any) -> Any:
    return tuple(map(_nested, values)) if isinstance(values, list) else values


ZEROS = Initializer("none", mean=0.0)
ONES = Initializer("none", mean=1.0)
HE_NORMAL_FAN_IN = Initializer("normal", gain=math.sqrt(2.0), fan="fan_in")
HE_NORMAL_FAN_OUT = Initializer("normal", gain=math.sqrt(2.0), fan="fan_out")
LECUN_UNIFORM = Initializer("uniform", gain=1.0, fan="fan_in")
NORMAL = Initializer("normal")
NORMAL_002 = Initializer("normal", gain=0.02)
