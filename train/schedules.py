"""Learning rates over a run, by name: `cosine`, `steps:at=["30 epochs","60 epochs"],factor=0.1`."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import optax.contrib

from train.calls import looked_up, made
from train.config import Call, OptimizerConfig
from train.lengths import Length, updates
from zoo.errors import UsageError


class Span(NamedTuple):
    """The part of a run between warm-up and cool-down.

    Attributes:
        peak: rate at its beginning.
        steps: its updates.
        before: updates of the warm-up before it.
        run: updates of the whole run.
        epoch: updates of a pass over the data.
    """

    peak: float
    steps: int
    before: int
    run: int
    epoch: int

    def updates(self, length: Length, name: str) -> int:
        """A length in updates of the run."""
        return updates(length, name, steps=self.run, epoch=self.epoch)


def make_schedule(config: OptimizerConfig, steps: int, *, epoch: int = 1) -> optax.Schedule:
    """Linear warm-up to the peak, then what `schedule` says, then a linear cool-down to zero.

    Of a plateau see `learning_rate`.

    Args:
        config: names the schedule.
        steps: updates in the run.
        epoch: updates in a pass over the data, for lengths in epochs.

    Raises:
        UsageError: there is no such schedule, or it takes no such arguments.

    >>> config = train.OptimizerConfig(learning_rate=0.1, warmup=0.1)
    >>> schedule = train.make_schedule(config, steps=100)
    >>> [round(float(schedule(step)), 3) for step in (0, 10, 55, 100)]
    [0.0, 0.1, 0.05, 0.0]
    """
    call, last = Call.parsed(config.schedule), max(steps - 1, 0)
    lengths = {"steps": steps, "epoch": epoch}
    warmup = min(updates(config.warmup, "warmup", **lengths), last)
    warmup = 0 if call.name == "onecycle" else warmup  # which rises by itself
    cooldown = min(updates(config.cooldown, "cooldown", **lengths), last - warmup)
    span = Span(config.learning_rate, steps - warmup - cooldown, warmup, steps, epoch)
    parts = [made(looked_up(call, "schedule", SCHEDULES), call, span)]
    ends: list[int] = []
    if warmup:
        parts.insert(0, optax.linear_schedule(config.warmup_from, span.peak, warmup))
        ends.append(warmup)
    if cooldown:
        parts.append(optax.linear_schedule(float(parts[-1](span.steps)), 0.0, cooldown))
        ends.append(steps - cooldown)
    return optax.join_schedules(parts, ends) if ends else parts[0]


def constant(span: Span) -> optax.Schedule:
    """The peak throughout."""
    return optax.constant_schedule(span.peak)


def cosine(span: Span, *, final: float = 0.0) -> optax.Schedule:
    """Half a cosine from the peak to `final` of it (Loshchilov & Hutter 2017, without restarts)."""
    return optax.cosine_decay_schedule(span.peak, span.steps, alpha=final)


def polynomial(span: Span, *, power: float = 2.0, final: float = 0.0) -> optax.Schedule:
    """Falls to `final` of the peak as a power of what is left of the run; 1 is a line."""
    return optax.polynomial_schedule(span.peak, final * span.peak, power, span.steps)


def linear(span: Span, *, final: float = 0.0) -> optax.Schedule:
    """A line from the peak to `final` of it."""
    return polynomial(span, power=1.0, final=final)


def steps(
    span: Span,
    *,
    at: Sequence[Length] = (0.4, 0.7, 0.9),
    factor: float | Sequence[float] = 0.2,
) -> optax.Schedule:
    """Is multiplied by `factor` at each of the places `at` in the run, or by one for each."""
    factors = [factor] * len(at) if isinstance(factor, float | int) else factor
    if len(factors) != len(at):
        raise UsageError(
            f"`factor` of `steps` must be one number or one for each of `at`, {len(at)}; got "
            f"{list(factors)}"
        )
    places = [span.updates(place, "at") - span.before for place in at]
    drops = dict(zip(places, factors, strict=True))
    return optax.piecewise_constant_schedule(span.peak, drops)


def exponential(
    span: Span, *, factor: float = 0.97, every: Length = "2.4 epochs", smooth: bool = False
) -> optax.Schedule:
    """Falls by `factor` after every such length, at once or smoothly (Tan & Le 2019, section 5)."""
    length = max(span.updates(every, "every"), 1)
    return optax.exponential_decay(span.peak, length, factor, staircase=not smooth)


def onecycle(
    span: Span, *, rise: float = 0.3, begin: float = 25.0, end: float = 1e4
) -> optax.Schedule:
    """Up for `rise` of the run from the peak over `begin`, then down to that over `end`.

    Half cosines both (Smith & Topin 2018, as in PyTorch). `warmup` is not used.
    """
    return optax.cosine_onecycle_schedule(span.steps, span.peak, rise, begin, end)


FACTOR = 0.2  # by which a plateau lowers the rate


def plateau(span: Span, *, factor: float = FACTOR) -> optax.Schedule:
    """The peak; the optimiser lowers it by `factor` when the loss does not fall any more."""
    del factor
    return constant(span)


SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "exponential": exponential,
    "linear": linear,
    "onecycle": onecycle,
    "plateau": plateau,
    "polynomial": polynomial,
    "steps": steps,
}


def plateau_factor(config: OptimizerConfig) -> float | None:
    """By how much a plateau lowers the rate; None if the schedule is another one."""
    call = Call.parsed(config.schedule)
    return call.arguments.get("factor", FACTOR) if call.name == "plateau" else None


def learning_rate(schedule: optax.Schedule, step: int, opt_state: Any) -> float:
    """The rate of an update, as the schedule and plateaus until now have it."""
    kind = optax.contrib.ReduceLROnPlateauState
    states = jax.tree.leaves(opt_state, is_leaf=lambda s: isinstance(s, kind))
    scale = math.prod(np.asarray(s.scale).item() for s in states if isinstance(s, kind))
    return float(np.asarray(schedule(step))) * scale
