"""From a config to an optax transformation and the schedule it follows."""

import difflib
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import optax.contrib

from train.config import OptimizerConfig
from zoo.errors import UsageError

STEPS = (0.4, 0.7, 0.9)  # shares of a run after which "steps" lowers the rate
FACTOR = 0.2  # by which "steps" and "plateau" lower it


def make_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Linear warm-up to the peak, then what `schedule` says; see `learning_rate` of a plateau."""
    warmup = min(round(config.warmup * steps), max(steps - 1, 0))
    peak = config.learning_rate
    if config.schedule == "cosine" and warmup:
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps)
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(peak, steps)
    drops = {round(share * steps): FACTOR for share in STEPS if config.schedule == "steps"}
    later = optax.piecewise_constant_schedule(peak, {n - warmup: f for n, f in drops.items()})
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), later], [warmup])


def make_optimizer(
    config: OptimizerConfig, steps: int, *, epoch: int = 1
) -> optax.GradientTransformationExtraArgs:
    """Clipping, then the update rule with decay of kernels only.

    Args:
        config: the rule and its schedule.
        steps: updates in the run.
        epoch: updates in a pass over the data, by which a plateau is measured. `update` then wants
            the loss as `value`.
    """
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    rule = RULES[config.optimizer](make_schedule(config, steps), config.weight_decay)
    parts = [clip, rule]  # the state has one structure, so that a run may begin to clip
    if config.rates:
        parts.append(_own_rates(config))
    if config.schedule == "plateau":
        parts.append(
            optax.contrib.reduce_on_plateau(
                FACTOR, config.patience, accumulation_size=epoch, rtol=1e-4
            )
        )
    return optax.with_extra_args_support(optax.chain(*parts))


def learning_rate(schedule: optax.Schedule, step: int, opt_state: Any) -> float:
    """The rate of an update, as the schedule and plateaus until now have it."""
    kind = optax.contrib.ReduceLROnPlateauState
    states = jax.tree.leaves(opt_state, is_leaf=lambda s: isinstance(s, kind))
    scale = math.prod(np.asarray(s.scale).item() for s in states if isinstance(s, kind))
    return float(np.asarray(schedule(step))) * scale


def check_rates(config: OptimizerConfig, params: Any) -> None:
    """Refuses rates of their own for parameters that there are not.

    Raises:
        UsageError: a word of `config.rates` stands in no path; the closest are shown.
    """
    paths = [_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for word in config.rates:
        if not any(word in path for path in paths):
            parts = {part: path for path in paths for part in (*path.split("/"), path)}
            near = difflib.get_close_matches(word, parts, n=3, cutoff=0.5)
            shown = list(dict.fromkeys(parts[part] for part in near)) or paths[:3]
            raise UsageError(
                f"`rates` wants a word that stands in the path of a parameter, got {word!r}; such "
                f"paths are {', '.join(map(repr, shown))}"
            )


def _path(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _own_rates(config: OptimizerConfig) -> optax.GradientTransformation:
    """Scales updates to the rates of `config.rates`; the first word in a path counts."""

    def scaled(path: Any, update: Any) -> Any:
        name = _path(path)
        own = (rate for word, rate in config.rates.items() if word in name)
        return update * (next(own, config.learning_rate) / config.learning_rate)

    return optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(scaled, updates))


DECAYED = ("kernel", "embedding")


def decayed(params: Any) -> Any:
    """True for what weight decay reaches: leaves called as in `DECAYED`, and nothing else.

    Networks name their parameters accordingly. Biases, norms, class tokens, positions, stored
    patterns and the C and D of state spaces have other names and are never decayed.
    """

    def is_decayed(path: Any, leaf: Any) -> bool:
        names = [str(getattr(entry, "key", "")) for entry in path]
        return leaf.ndim > 1 and any(name in DECAYED for name in names[-1:])

    return jax.tree_util.tree_map_with_path(is_decayed, params)


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
