"""From a config to an optax transformation."""

from typing import Any

import jax
import optax
import optax.contrib

from train.calls import looked_up, made
from train.config import Call, OptimizerConfig
from train.schedules import make_schedule, plateau_factor
from train.update_rules import RULES
from train.update_rules import decayed as decayed
from zoo.errors import UsageError
from zoo.parameters import select
from zoo.parameters.depth import depth_of

ANNEALING = 0.55  # exponent with which noise of gradients falls, the better one of the paper's two


def make_optimizer(
    config: OptimizerConfig,
    steps: int,
    *,
    epoch: int = 1,
    seed: int = 0,
    depths: dict[str, Any] | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Clipping, noise, the update rule with decay of kernels only, then rates of their own.

    Args:
        config: the rule and its schedule.
        steps: updates in the run.
        epoch: updates in a pass over the data, by which a plateau is measured. `update` then wants
            the loss as `value`.
        seed: of the noise that `config.gradient_noise` adds to gradients.
        depths: number of every parameter's layer, as `zoo.parameters.depths` has them, which
            `config.layer_decay` needs.

    Raises:
        UsageError: there is no such rule or schedule, it takes no such arguments, or `depths` are
            needed and not given.

    >>> config = train.OptimizerConfig(optimizer="sgd", learning_rate=0.1, rates={"^head/": 1.0})
    >>> optimizer = train.make_optimizer(config, steps=1000)
    """
    rule = _rule(config, make_schedule(config, steps, epoch=epoch))
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    parts = [clip, rule]
    # The state has one structure whether it clips, so that a run may begin to do so.
    if config.gradient_noise:
        parts.insert(1, optax.add_noise(config.gradient_noise, ANNEALING, jax.random.key(seed)))
    if config.adaptive_clip:
        parts.insert(0, _adaptive_clip(config.adaptive_clip))
    if config.layer_decay:
        parts.append(_by_depth(config.layer_decay, depths))
    if config.rates:
        parts.append(_own_rates(config))
    if (factor := plateau_factor(config)) is not None:
        parts.append(
            optax.contrib.reduce_on_plateau(
                factor, config.patience, accumulation_size=epoch, rtol=1e-4
            )
        )
    return optax.with_extra_args_support(optax.chain(*parts))


def require_known(config: OptimizerConfig) -> None:
    """Refuses names of rules and schedules that there are not, and arguments that they do not take.

    Raises:
        UsageError: as `make_optimizer`, before there is a run.
    """
    _rule(config, make_schedule(config, steps=1))


def _rule(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    call = Call.parsed(config.optimizer)
    return made(looked_up(call, "optimizer", RULES), call, schedule, config.weight_decay)


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


def _adaptive_clip(largest: float) -> optax.GradientTransformation:
    """Clips each unit's gradient to a share of its weights' norm, the head's left out.

    Brock et al. 2021, section 4.
    """

    def not_head(params: Any) -> Any:
        return {name: name != "head" for name in params}

    return optax.masked(optax.adaptive_grad_clip(largest), not_head)


def _by_depth(decay: float, depths: dict[str, Any] | None) -> optax.GradientTransformation:
    r"""Multiplies rates by \(d^{n - l}\) in layer l of 0 to n, the head: Bao et al. 2022 (BEiT)."""
    if depths is None:
        raise UsageError(
            "`layer_decay` needs `depths` of the network: pass "
            "depths=zoo.parameters.depths(model, inputs)"
        )
    last = max(jax.tree.leaves(depths))

    def update(updates: Any, params: Any) -> Any:
        del params
        return jax.tree_util.tree_map_with_path(
            lambda path, u: u * decay ** (last - depth_of(depths, path)), updates
        )

    return optax.stateless(update)
