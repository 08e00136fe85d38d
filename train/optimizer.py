"""From a config to an optax transformation and the schedule it follows."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from train.config import OptimizerConfig


def make_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Linear warm-up to the peak, then half a cosine to zero at `steps`."""
    warmup = round(config.warmup * steps)
    if not warmup:
        return optax.cosine_decay_schedule(config.learning_rate, steps)
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, warmup, steps)


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Clipping, then the update rule with decay of kernels only."""
    rule = RULES[config.optimizer](make_schedule(config, steps), config.weight_decay)
    if config.clip_norm is None:
        return rule
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), rule)


def decayed(params: Any) -> Any:
    """True for kernels and tables, False for vectors: biases, scales and shifts of norms."""
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _adamw(schedule: optax.Schedule, decay: float) -> optax.GradientTransformation:
    return optax.adamw(schedule, weight_decay=decay, mask=decayed)


def _sgd(schedule: optax.Schedule, decay: float) -> optax.GradientTransformation:
    return optax.chain(
        optax.add_decayed_weights(decay, mask=decayed),
        optax.sgd(schedule, momentum=0.9, nesterov=True),
    )


def _lamb(schedule: optax.Schedule, decay: float) -> optax.GradientTransformation:
    return optax.lamb(schedule, weight_decay=decay, mask=decayed)


def _lars(schedule: optax.Schedule, decay: float) -> optax.GradientTransformation:
    return optax.lars(
        schedule, weight_decay=decay, weight_decay_mask=decayed, trust_ratio_mask=decayed
    )


RULES: dict[str, Callable[[optax.Schedule, float], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "sgd": _sgd,
    "lamb": _lamb,
    "lars": _lars,
}
