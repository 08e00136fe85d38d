"""From a card to its network, which is not believed to be of a size that can be built."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

import zoo
from checkpoints.card import Card
from checkpoints.surgery import diff, flatten, listed
from zoo.errors import UsageError, shown
from zoo.parameters.interception import changed

_LARGEST = 1 << 17  # one number of an override, or the sum of a list of them
_LARGEST_INPUT = 1 << 27  # numbers; an image of 4,096 pixels has 50 million
_MOST_CALLS = 6_000  # of modules in a forward pass; the catalogue's longest has 2,740
_MOST_NUMBERS = 10**10  # parameters


def create_model(card: Card, dtype: DTypeLike | None = None) -> nn.Module:
    """The architecture of a card, with its overrides and number of classes, and what it changes.

    Raises:
        UsageError: the card names no architecture, or fields and sizes that none has.
    """
    for field, value in card.overrides.items():
        if field in ("name", "parent", "num_classes", "interceptors"):
            raise UsageError(f"The card of {shown(card.name)} cannot override `{field}`.")
        if not field.endswith("seed"):
            _check_size(f"{shown(field)} of the card of {shown(card.name)}", value)
    _check_size(f"`widths` of the card of {shown(card.name)}", card.widths)
    options = {**card.overrides, "num_classes": card.num_classes}
    model = zoo.create_model(
        card.architecture, **options | ({} if dtype is None else {"dtype": dtype})
    )
    return changed(model, card.widths, card.intercepted)


def abstract_variables(model: nn.Module, card: Card) -> dict[str, Any]:
    """Shapes and dtypes of the variables of a card's model.

    Raises:
        UsageError: the fields of the model do not go together, or it is too large to be one.
    """
    what = f"the network that the card of {shown(card.name)} describes"
    init = partial(model.init, train=False)
    try:
        with nn.intercept_methods(_counted(what)):
            shapes = jax.eval_shape(init, jax.random.key(0), images(card, model))
    except UsageError:
        raise
    except Exception as error:  # whatever the numbers of a card lead to while it is traced
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")[:200]
        raise UsageError(f"Fields of {what} do not go together: {reason}.") from error
    if (size := sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))) > _MOST_NUMBERS:
        raise UsageError(f"{what} has {size:,} parameters, more than {_MOST_NUMBERS:,} are refused")
    return shapes


def filled(abstract: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """NumPy arrays, which may be views of a file's, as JAX arrays of the model's dtypes.

    Raises:
        UsageError: some are of another shape than the model has.
    """
    if lines := diff(_shapes(abstract), _shapes(tensors)):
        raise UsageError(
            "The tensors are not of the shapes that the images they are said to be for need:\n  "
            f"{listed(lines)}"
        )
    arrays = jax.tree.map(lambda leaf, like: np.array(leaf, like.dtype), tensors, dict(abstract))
    return jax.device_put(arrays)


def images(card: Card, model: nn.Module) -> jax.ShapeDtypeStruct:
    """A batch of one such as the network reads."""
    shape, size = card.preprocess.shape, getattr(model, "image_size", None)
    if isinstance(size, tuple):
        shape = (*size, shape[-1])
    if math.prod(shape) > _LARGEST_INPUT:
        raise UsageError(
            f"The card of {shown(card.name)} asks for inputs of the shape {shape}, which are more "
            f"than {_LARGEST_INPUT:,} numbers."
        )
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)


def _shapes(tree: Mapping[str, Any]) -> dict[str, str]:
    return {path: str(leaf.shape) for path, leaf in flatten(dict(tree)).items()}


def _counted(what: str) -> Callable[..., Any]:
    """An interceptor of Flax's that stops a network of very many modules while it is traced."""
    calls = 0

    def count(call: Any, arguments: Any, options: Mapping[str, Any], context: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > _MOST_CALLS:
            raise UsageError(f"{what} has more than {_MOST_CALLS:,} modules, which is refused")
        return call(*arguments, **options)

    return count


def _check_size(what: str, value: Any) -> None:
    total = sum(max(1, abs(number)) for number in _numbers(value))
    if not total <= _LARGEST:
        raise UsageError(f"{what} must be at most {_LARGEST:,} in all, got {shown(value)}.")


def _numbers(value: Any) -> Iterator[float]:
    """The finite numbers in a value, however deep; a field may ask for an infinity."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isinf(value):
            yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, Mapping):
        yield from _numbers(list(value.values()))
