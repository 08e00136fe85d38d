"""Which parameters of a run wait, and until which step."""

from collections import Counter
from typing import Any

import jax
import optax

from checkpoints import surgery
from train.config import Config
from train.methods.unfreezing import norms_unfreezing, starting, unfreezing
from train.objective import Objective
from zoo.errors import UsageError
from zoo.parameters.depth import depth_of

SHOWN = 4  # steps at which layers begin, in a line


def starts_of(config: Config, depths: Any, trained: Any) -> Any:
    """The step from which on each parameter is trained; see `train.methods.unfreezing`.

    Args:
        config: of the run.
        depths: numbers of the network's layers.
        trained: what of its parameters is trained.

    Raises:
        UsageError: the head is not trained, so that nothing would be at first.
    """
    every = config.unfreeze_every or 0
    first = every if config.head_first is None else config.head_first
    starts = starting(depths, first=first, every=every)
    if min(beginnings(starts, trained)) > 0:
        name = "head_first" if config.head_first is not None else "unfreeze_every"
        raise UsageError(
            f"`{name}` trains the head first, and `parameters` keep it; leave one of them out"
        )
    return starts


def waiting(
    starts: Any, optimizer: optax.GradientTransformationExtraArgs, objective: Objective
) -> tuple[optax.GradientTransformationExtraArgs, Objective]:
    """An optimiser and an objective of parameters that wait; with no `starts` as they are."""
    if starts is None:
        return optimizer, objective
    return unfreezing(optimizer, starts), norms_unfreezing(objective, starts)


def beginnings(starts: Any, trained: Any) -> dict[int, int]:
    """How many numbers begin to be trained at each step, in the order of steps."""
    found = Counter[int]()
    for path, leaf in jax.tree_util.tree_leaves_with_path(trained):
        found[depth_of(starts, path)] += leaf.size
    return dict(sorted(found.items()))


def told(starts: Any, trained: Any, params: Any) -> str:
    """How many numbers a run trains, from which step on, in a line."""
    first, *later = [(0, surgery.count(trained))] if starts is None else _totals(starts, trained)
    shown = later if len(later) <= SHOWN else [*later[: SHOWN - 2], later[-1]]
    begun = [f"{total:,} from step {step:,} on" for step, total in shown]
    words = ", ".join([f"trains {first[1]:,} numbers", *begun])
    return f"{words}; the network has {surgery.count(params):,} parameters"


def _totals(starts: Any, trained: Any) -> list[tuple[int, int]]:
    """Steps at which layers begin, and how many numbers are trained from then on."""
    found, total = [], 0
    for step, count in beginnings(starts, trained).items():
        total += count
        found.append((step, total))
    return found
