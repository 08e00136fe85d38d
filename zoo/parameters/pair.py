"""The pair of functions that says what is trained."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple

Tree = Any


class Parameters(NamedTuple):
    """What is trained of a network's parameters, and how they are made of it.

    The default trains everything.

    Attributes:
        split: params -> (trained, kept), two trees of any form. Only `trained` has gradients and a
            state of the optimiser.
        join: (trained, kept) -> params, differentiable in `trained`. At first
            `join(*split(params))` is `params`, or the nearest that the form can hold.
        around: () -> a context manager, which the step enters while the network runs.
        stored_as: what a card calls the form in which `join` can be stored in fewer bytes, see
            `zoo.parameters.stored`; None where there is none.
    """

    split: Callable[[Tree], tuple[Tree, Tree]] = lambda params: (params, ())
    join: Callable[[Tree, Tree], Tree] = lambda trained, kept: trained
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    stored_as: Mapping[str, Any] | None = None


def chained(*parts: Parameters) -> Parameters:
    """Splits what the part before trains, again and again: frozen first, then adapted."""

    def split(params: Tree) -> tuple[Tree, Tree]:
        kept = []
        for part in parts:
            params, rest = part.split(params)
            kept.append(rest)
        return params, tuple(kept)

    def join(trained: Tree, kept: Tree) -> Tree:
        for part, rest in zip(reversed(parts), reversed(kept), strict=True):
            trained = part.join(trained, rest)
        return trained

    @contextmanager
    def around() -> Iterator[None]:
        with ExitStack() as stack:
            for part in parts:
                stack.enter_context(part.around())
            yield

    return Parameters(split, join, around)
