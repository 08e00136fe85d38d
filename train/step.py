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
from train.state import TrainState
from zoo.layers.norm import BatchNorm

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
        model=_bind_batch_norm(model, axis_name, batch_norm_groups),
        optimizer=optimizer,
        loss_fn=loss_fn,
        axis_name=axis_name,
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
    ema: float | None,
) -> tuple[TrainState, dict[str, Array]]:
    """One update; see `make_train_step`. The n-th draws its noise from `key` folded with n."""
    key = jax.random.fold_in(key, state.step)
    if axis_name is not None:
        key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
    folded = partial(jax.random.fold_in, key)
    rngs = {"dropout": key, "drop_path": folded(1), "permutation": folded(2)}

    def objective(params: Any) -> tuple[Array, tuple[Any, Array]]:
        variables = {"params": params, "batch_stats": state.batch_stats}
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
    average = None if ema is None else optax.incremental_update(params, state.ema, 1 - ema)
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


def _bind_batch_norm(model: nn.Module, axis_name: str | None, groups: int) -> nn.Module:
    """Tells the model's batch norms, if it has any, over which axis and groups to average."""
    norm: Any = getattr(model, "norm", None)
    if norm is not BatchNorm and getattr(norm, "func", None) is not BatchNorm:
        return model
    return model.clone(norm=partial(norm, axis_name=axis_name, groups=groups))
