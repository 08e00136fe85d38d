"""One update and one evaluation, pure: they know of devices no more than an axis name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from train.losses import example_loss, is_regression
from train.metrics import top_k_hits
from train.noise import streams
from train.state import TrainState
from zoo.errors import UsageError
from zoo.layers.norm import batch_spread

Batch = dict[str, Any]  # "image" (b, h, w, c) float, "label" (b,) int; "mask" (b,) in evaluation
Loss = Callable[[Array, Array], Float[Array, " b"]]
Step = Callable[[TrainState, Batch, Key[Array, ""]], tuple[TrainState, dict[str, Array]]]


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss_fn: Loss = example_loss,
    *,
    axis_name: str | None = None,
    batch_norm_groups: int = 1,
    ema: float | None = None,
) -> Step:
    """The update `(state, batch, key) -> (state, metrics)`, for `parallelize` or plain `jax.jit`.

    Args:
        model: module called as `model(images, train=True)`.
        optimizer: optax transformation.
        loss_fn: from logits and labels to one loss per example; their mean is minimised.
        axis_name: mapped axis over which the batch is split (pmap, shard_map); None under jit.
        batch_norm_groups: slices of the global batch that are normalised separately; as many as
            devices for "per device" statistics, 1 for statistics of the whole batch.
        ema: decay of the moving average of parameters, or None.

    Returns:
        A pure function. Metrics are means over the global batch: "loss" and, of classes, "top1".
    """
    return partial(
        train_step,
        model=model,
        optimizer=optimizer,
        loss_fn=loss_fn,
        axis_name=axis_name,
        batch_norm_groups=batch_norm_groups,
        ema=ema,
    )


def train_step(
    state: TrainState,
    batch: Batch,
    key: Key[Array, ""],
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss_fn: Loss,
    axis_name: str | None,
    batch_norm_groups: int,
    ema: float | None,
) -> tuple[TrainState, dict[str, Array]]:
    """One update; see `make_train_step`. The n-th draws its noise from `key` folded with n."""
    rngs = streams(jax.random.fold_in(key, state.step), axis_name)

    def objective(params: Any) -> tuple[Array, tuple[Any, Array]]:
        variables = {"params": params, "batch_stats": state.batch_stats}
        with (
            batch_spread(axis_name, batch_norm_groups),
            nn.intercept_methods(require_spread_norms(axis_name)),
        ):
            result: Any = model.apply(
                variables, batch["image"], train=True, mutable=["batch_stats"], rngs=rngs
            )
        logits, updated = result
        return loss_fn(logits, batch["label"]).mean(), (updated.get("batch_stats", {}), logits)

    (loss, (batch_stats, logits)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
    metrics = {"loss": loss}
    if not is_regression(batch["label"]):
        metrics["top1"] = top_k_hits(logits, batch["label"], 1).mean()
    if axis_name is not None:
        grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
    update = optax.with_extra_args_support(optimizer).update
    updates, opt_state = update(grads, state.opt_state, state.params, value=metrics["loss"])
    params = optax.apply_updates(state.params, updates)
    average = state.ema
    if ema is not None:
        average = optax.incremental_update(params, state.ema, 1 - warmed_up(ema, state.step))
    return (
        state.replace(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            ema=average,
        ),
        metrics,
    )


def eval_step(model: nn.Module, variables: Any, batch: Batch) -> dict[str, Array]:
    """Sums over the examples whose mask is 1: "loss", "count" and, of classes, "top1", "top5"."""
    logits: Any = model.apply(variables, batch["image"], train=False)
    labels, mask = batch["label"], batch["mask"]
    sums = {"loss": jnp.sum(example_loss(logits, labels) * mask), "count": jnp.sum(mask)}
    if is_regression(labels):
        return sums
    hits = {f"top{k}": jnp.sum(top_k_hits(logits, labels, k) * mask) for k in (1, 5)}
    return sums | hits


def warmed_up(decay: float, step: Array) -> Array:
    r"""Decay of a moving average after `step` updates, \(\min(d, (1 + t) / (10 + t))\).

    It forgets the initial values in short runs as in long ones, as TensorFlow's
    `ExponentialMovingAverage` with `num_updates` does.
    """
    return jnp.minimum(decay, (1 + step) / (10 + step))


def require_spread_norms(axis_name: str | None) -> Callable[..., Any]:
    """Interceptor that refuses Flax's batch norm where its statistics would differ by device."""

    def check(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        norm = context.module
        if isinstance(norm, nn.BatchNorm) and norm.axis_name != axis_name:
            running = kwargs.get("use_running_average", norm.use_running_average)
            if not (args[1] if len(args) > 1 else running):
                raise UsageError(
                    f"{'/'.join(norm.path)} is Flax's BatchNorm with axis_name={norm.axis_name!r}, "
                    f"whose statistics would differ between devices; give it "
                    f"axis_name={axis_name!r}, or use zoo.layers.norm.BatchNorm"
                )
        return call(*args, **kwargs)

    return check
