"""Networks whose layers work otherwise than their own class says, as data of a card.

A changed network is the same architecture with `interceptors`, so that it is made, called, trained
and stored as any other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.errors import UsageError, closest, shown
from zoo.layers.network import Network
from zoo.parameters.bitnet import bitnet
from zoo.parameters.widths import widths as of_widths

# What a card may name under `intercepted`: arguments -> an interceptor that can be hashed.
INTERCEPTORS: dict[str, Callable[..., Any]] = {"bitnet": bitnet}


def changed(
    model: Any,
    widths: Mapping[str, Any] | None = None,
    intercepted: Sequence[Mapping[str, Any]] = (),
) -> Any:
    """The network with layers of other sizes, and with calls that go through interceptors.

    >>> model = changed(zoo.create_model("resnet8"), {"stage1_block0/conv1": {"features": 10}})

    Args:
        model: a network of the catalogue.
        widths: sizes of layers by path, as in `zoo.parameters.widths`.
        intercepted: names in `INTERCEPTORS` with arguments, `{"name": ..., "arguments": {...}}`;
            the first is the outermost.

    Raises:
        UsageError: the network cannot be changed, there is no such interceptor, or it takes no
            such arguments.
    """
    if not widths and not intercepted:
        return model
    if not isinstance(model, Network):
        raise UsageError(f"layers of {type(model).__name__} cannot be changed by a card")
    made = [of_widths(widths)] if widths else []
    made += [called(INTERCEPTORS, call, "intercepted") for call in intercepted]
    return model.clone(interceptors=tuple(made))


def called(
    table: Mapping[str, Callable[..., Any]], call: Mapping[str, Any], field: str, *given: Any
) -> Any:
    """What a table has under the name of a call, called with what is given and its arguments.

    Args:
        table: functions by name.
        call: `{"name": ..., "arguments": {...}}`, from a card.
        field: of the card.
        given: first arguments.

    Raises:
        UsageError: the call is not of that form, there is no such name, or it takes no such
            arguments.
    """
    name, arguments = call.get("name"), call.get("arguments", {})
    if not isinstance(name, str) or name not in table or set(call) - {"name", "arguments"}:
        near = closest(name, table) if isinstance(name, str) else ""
        raise UsageError(
            f"`{field}` must name one of {', '.join(table)}; got {shown(call)}, which a newer "
            f"jax-functional-zoo may know{near or '.'}"
        )
    try:
        return table[name](*given, **arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"`{field}` {name} cannot take {shown(arguments)}: {error}") from error
