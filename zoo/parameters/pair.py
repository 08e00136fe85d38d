"""The pair of functions that says what is trained."""

from collections.abc import Callable
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
    """

    split: Callable[[Tree], tuple[Tree, Tree]] = lambda params: (params, ())
    join: Callable[[Tree, Tree], Tree] = lambda trained, kept: trained
