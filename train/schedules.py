"""Learning rates over a run."""

import math
from typing import Any

import jax
import numpy as np
import optax
import optax.contrib

from train.config import OptimizerConfig

STEPS = (0.4, 0.7, 0.9)  # shares of a run after which "steps" lowers the rate
FACTOR = 0.2  # by which "steps" and "plateau" lower it


def make_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Linear warm-up to the peak, then what `schedule` says; see `learning_rate` of a plateau.

    >>> config = train.OptimizerConfig(learning_rate=0.1, warmup=0.1)
    >>> schedule = train.make_schedule(config, steps=100)
    >>> [round(float(schedule(step)), 3) for step in (0, 10, 55, 100)]
    [0.0, 0.1, 0.05, 0.0]
    """
    warmup = min(round(config.warmup * steps), max(steps - 1, 0))
    peak = config.learning_rate
    if config.schedule == "cosine" and warmup:
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps)
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(peak, steps)
    drops = {round(share * steps): FACTOR for share in STEPS if config.schedule == "steps"}
    later = optax.piecewise_constant_schedule(peak, {n - warmup: f for n, f in drops.items()})
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), later], [warmup])


def learning_rate(schedule: optax.Schedule, step: int, opt_state: Any) -> float:
    """The rate of an update, as the schedule and plateaus until now have it."""
    kind = optax.contrib.ReduceLROnPlateauState
    states = jax.tree.leaves(opt_state, is_leaf=lambda s: isinstance(s, kind))
    scale = math.prod(np.asarray(s.scale).item() for s in states if isinstance(s, kind))
    return float(np.asarray(schedule(step))) * scale
