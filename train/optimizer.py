"""From a config to an optax transformation."""

from collections.abc import Callable
from typing import Any

import jax
import optax
import optax.contrib

from train.config import OptimizerConfig
from train.schedules import FACTOR, make_schedule
from zoo.errors import UsageError
from zoo.parameters import select


def make_optimizer(
    config: OptimizerConfig, steps: int, *, epoch: int = 1
) -> optax.GradientTransformationExtraArgs:
    """Clipping, then the update rule with decay of kernels only.

    Args:
        config: the rule and its schedule.
        steps: updates in the run.
        epoch: updates in a pass over the data, by which a plateau is measured. `update` then wants
            the loss as `value`.

    >>> config = train.OptimizerConfig(optimizer="sgd", learning_rate=0.1, rates={"^head/": 1.0})
    >>> optimizer = train.make_optimizer(config, steps=1000)
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


def check_rates(config: OptimizerConfig, trained: Any) -> None:
    """Refuses rates of their own for parameters that there are not, or that are not trained.

    Raises:
        UsageError: a pattern of `config.rates` matches no path; the closest are shown.
    """
    try:
        select(trained, config.rates)
    except UsageError as error:
        raise UsageError(f"`rates` are of trained parameters: {error}") from error


def _own_rates(config: OptimizerConfig) -> optax.GradientTransformation:
    """Scales updates to the rates of `config.rates`; the first pattern that matches counts."""

    def update(updates: Any, params: Any) -> Any:
        del params
        rates = select(updates, config.rates, default=config.learning_rate)
        return jax.tree.map(lambda u, rate: u * (rate / config.learning_rate), updates, rates)

    return optax.stateless(update)


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
