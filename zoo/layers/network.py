"""What every network of the catalogue is: a module that refuses inputs it is not made for."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.module import module_field

from zoo.errors import UsageError

_ENTRANCES = "__call__", "features", "with_auxiliary"
_entered: ContextVar[tuple[int, ...]] = ContextVar("networks that are being called", default=())
_LONGEST = 100  # characters of a field in a `repr`
_FEWEST = 8  # pixels of a side from which on channels in its place are not to be mistaken


class Network(nn.Module):
    """A network that is called with a batch of inputs.

    Attributes:
        input_axes: how many axes a batch may have; None for any, the network says which.
        interceptors: what calls inside the network go through, whoever calls it and for whatever:
            narrower layers, rounded activations. Each is called as one of `nn.intercept_methods`
            with the path of the network before it, and can be hashed; `zoo.parameters.changed`
            makes them.
    """

    input_axes: ClassVar[tuple[int, ...] | None] = (4,)
    if TYPE_CHECKING:  # the one kind of field that Flax tells type checkers of
        interceptors: tuple[Callable[..., Any], ...] = module_field(default=(), kw_only=True)
    else:
        interceptors: tuple[Callable[..., Any], ...] = dataclasses.field(default=(), kw_only=True)

    def __init_subclass__(cls, **options: Any) -> None:
        for name in _ENTRANCES:
            if name in cls.__dict__:
                setattr(cls, name, _entrance(cls.__dict__[name]))
        super().__init_subclass__(**options)

    def __repr__(self) -> str:
        """The number of classes, and the fields that differ from their defaults."""
        fields = [f for f in dataclasses.fields(self) if f.name not in ("parent", "name")]
        values = {f.name: getattr(self, f.name) for f in fields}
        shown = [f.name for f in fields if f.name == "num_classes" or values[f.name] != f.default]
        return f"{type(self).__name__}({', '.join(f'{n}={_short(values[n])}' for n in shown)})"


def require_batch(inputs: Any, axes: tuple[int, ...] | None = (4,)) -> None:
    """Refuses what is no batch of numbers, channels last.

    Args:
        inputs: images (batch, height, width, channels), or what else a network reads.
        axes: how many axes a batch may have; None for any.

    Raises:
        UsageError: says what to do with inputs of integers, without a batch axis, or whose channels
            come first.
    """
    shape = tuple(inputs.shape)
    if not jnp.issubdtype(inputs.dtype, jnp.inexact):
        raise UsageError(
            f"inputs must be floating-point and normalised, got {inputs.dtype}; apply the "
            "`preprocess` that came with the weights, or at least "
            "`images.astype('float32') / 255`."
        )
    if axes is None:
        return
    if len(shape) == min(axes) - 1:
        raise UsageError(
            f"inputs must have a batch axis, got the shape {shape}; "
            "for a single one give `images[None]`."
        )
    if len(shape) not in axes:
        wanted = " or ".join(map(str, axes))
        raise UsageError(
            f"inputs must have {wanted} axes, as in (batch, height, width, channels), "
            f"got the shape {shape}."
        )
    if len(shape) == 4 and shape[1] in (1, 3) and _is_picture(shape[2:]):
        raise UsageError(
            f"images must be (batch, height, width, channels), got the shape {shape}, whose "
            "channels come first; give `images.transpose(0, 2, 3, 1)`."
        )


def _is_picture(sides: tuple[int, ...]) -> bool:
    """Whether two axes are like height and width, rather than like width and channels."""
    return min(sides) >= _FEWEST and max(sides) <= 4 * min(sides)


def _entrance(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a network inside its interceptors, after a check of its first argument."""
    first = list(inspect.signature(method).parameters)[1]

    @wraps(method)
    def entered(self: Network, *args: Any, **options: Any) -> Any:
        inputs = args[0] if args else options.get(first)
        if hasattr(inputs, "shape") and hasattr(inputs, "dtype"):
            require_batch(inputs, self.input_axes)
        if not self.interceptors or id(self) in _entered.get():  # one entrance may call another
            return method(self, *args, **options)
        with _intercepted(self):
            return method(self, *args, **options)

    return entered


@contextmanager
def _intercepted(network: Network) -> Iterator[None]:
    before = _entered.set((*_entered.get(), id(network)))
    try:
        with ExitStack() as stack:
            for interceptor in network.interceptors:
                stack.enter_context(nn.intercept_methods(partial(interceptor, network.path)))
            yield
    finally:
        _entered.reset(before)


def _short(value: Any) -> str:
    """A value as its name, or its `repr` as far as it is readable."""
    text = repr(value)
    if isinstance(value, partial):
        options = ", ".join(f"{name}={_short(option)}" for name, option in value.keywords.items())
        text = f"{_short(value.func)}({options})"
    elif callable(value) and hasattr(value, "__name__"):
        text = value.__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
