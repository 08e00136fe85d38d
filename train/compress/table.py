"""The methods of `zoo compress`, by their names."""

from collections.abc import Callable

from train.calls import Call, looked_up, made
from train.compress.lowrank import lowrank
from train.compress.method import Method, of_parameters
from train.compress.nested import nested
from train.compress.points import points
from train.compress.prune import prune
from train.compress.sparse import sparse
from train.compress.ternary import ternary
from zoo.parameters import Parameters

# Arguments -> a method. A further one is a row here, and nothing else.
METHODS: dict[str, Callable[..., Method]] = {
    "ternary": ternary,
    "points": points,
    "prune": prune,
    "nested": nested,
    "lowrank": lowrank,
    "sparse": sparse,
}

# What `zoo compress --sweep` tries.
SWEPT: tuple[str, ...] = (
    "ternary",
    "ternary:activations=true",
    "points:bits=8",
    "points:bits=4",
    "points:bits=2",
    "points:bits=2,learned=true",
    "prune",
    "nested",
    "lowrank:lasso=0.0003",
    "sparse",
)


def method_of(method: str | Call | Method | Parameters) -> Method:
    """A method as its value, by its name with arguments, or as the parameters that it trains.

    Raises:
        UsageError: there is no such method, or it takes no such arguments.
    """
    if isinstance(method, Parameters):
        return of_parameters(method)
    if isinstance(method, Method):
        return method
    call = Call.parsed(method) if isinstance(method, str) else method
    return made(looked_up(call, "method", METHODS), call)
