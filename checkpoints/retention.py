"""Which checkpoints of a run stay, and which of them is the best."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from zoo.errors import UsageError

TOP1 = "top1"
LOW = ("loss", "rmse", "mae")  # figures of which nobody wants much


@dataclasses.dataclass(frozen=True)
class Retention:
    """What of a run's checkpoints is kept; whatever is not named here goes."""

    newest: int = 2
    """How many of the newest stay: one to go on from, and one to fall back on."""
    best: str = TOP1
    """Figure by which the best stays, as in `top1`, `val/top1`, or `-val/loss` for the lowest."""
    every: int | None = None
    """Checkpoints of steps that are multiples of this stay too."""

    def __post_init__(self) -> None:
        for name in ("newest", "every"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value < 1):
                raise UsageError(f"`retention` must keep `{name}` of at least 1, got {value}")
        if not self.metric:
            raise UsageError("`retention` must name a figure as its `best`, such as top1")
        if self.metric.rpartition("/")[2] in LOW and not self.best.startswith("-"):
            raise UsageError(
                f"`retention` must say of {self.best} that the lowest is the best: -{self.best}"
            )

    @property
    def metric(self) -> str:
        """Name of the figure, without its sign."""
        return self.best.removeprefix("-")


def rank(metrics: Mapping[str, Any], best: str = TOP1) -> tuple[float, float] | None:
    """By what a checkpoint is the best of its run: the one with the highest rank.

    Args:
        metrics: of its card.
        best: as in `Retention`. Among equal ones the lowest loss of the same evaluation counts.
            Where "top1" is not measured, the loss alone does.

    Returns:
        None if the figure is not known.
    """
    sign, name = (-1.0, best[1:]) if best.startswith("-") else (1.0, best)
    prefix = name.rpartition("/")[0]
    loss = metrics.get(f"{prefix}/loss" if prefix else "loss")
    value = metrics.get(name, 0.0 if name == TOP1 else None)
    if not isinstance(value, int | float) or not isinstance(loss, int | float):
        return None
    try:
        found = sign * float(value), -float(loss)
    except OverflowError:
        return None
    return None if any(map(math.isnan, found)) else found
