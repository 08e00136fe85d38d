"""Parameters that stay what they are."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from zoo.errors import UsageError
from zoo.layers.norm import norms_as_in_evaluation
from zoo.parameters.pair import Parameters
from zoo.parameters.select import matches, select, several


def frozen(patterns: str | Sequence[str]) -> Parameters:
    """Keeps the parameters whose path matches one of `patterns`; trains the others.

    Kept parameters have neither gradients nor a state of the optimiser. A batch norm all of whose
    parameters are kept normalises as in evaluation, and its running statistics stay.

    >>> backbone = frozen("^(?!head/)")  # everything but the head

    Args:
        patterns: as in `zoo.parameters.select`.
    """

    def split(params: Any) -> tuple[Any, Any]:
        flat, kept = flatten_dict(params), flatten_dict(select(params, patterns))
        if all(kept.values()):
            raise UsageError(f"`frozen` {patterns!r} leaves no parameter to train")
        trained = {path: leaf for path, leaf in flat.items() if not kept[path]}
        rest = {path: leaf for path, leaf in flat.items() if kept[path]}
        return unflatten_dict(trained), unflatten_dict(rest)

    def join(trained: Any, kept: Any) -> Any:
        return unflatten_dict(flatten_dict(kept) | flatten_dict(trained))

    def is_kept(path: str) -> bool:
        return any(matches(pattern, path) for pattern in several(patterns))

    return Parameters(split, join, partial(norms_as_in_evaluation, is_kept))
