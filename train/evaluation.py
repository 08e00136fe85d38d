"""An evaluation in which every example counts exactly once."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from checkpoints.preprocess import Preprocess
from train import hosts
from train.data import Dataset, eval_batches
from train.mesh import mesh_of, place, spread
from train.objective import Batch
from train.task import Task, task_of
from train.tta import outputs, viewed


def evaluate(
    model: nn.Module,
    variables: Any,
    data: Dataset,
    *,
    preprocess: Preprocess,
    batch_size: int = 256,
    task: Task | None = None,
    tta: str | None = None,
    between: Callable[[], None] = lambda: None,
) -> dict[str, float | int]:
    """Figures of a model on a data set, on all devices.

    The last batch is padded and masked, so the result depends neither on the batch size nor on
    the number of devices.

    Args:
        model: module called as `model(inputs, train=False)`.
        variables: `{"params": ..., "batch_stats": ...}`.
        data: what `load_dataset` returns.
        preprocess: from a raw image to the network's input; belongs to the weights.
        batch_size: examples at a time, over all devices; rounded up to a multiple of them.
        task: how outputs are judged; None is what the data says.
        tta: views of each image of which the mean is judged, as in "flip,five_crop": `train.tta`.
        between: called before each batch.

    Returns:
        "count" of examples and the task's figures. Of classes: "top1" and "top5" in [0, 1], mean
        "loss" in nats; of any of several classes: the mean average precision, "map", and the mean
        binary cross entropy; of numbers: the mean squared "loss" and its root, "rmse", the mean
        absolute error, "mae", and the share of variance that is explained, "r2".

    >>> loaded = checkpoints.load("resnet8.digits")
    >>> data = train.load_dataset("zoo_digits", "test")
    >>> metrics = train.evaluate(
    ...     loaded.model, loaded.variables, data, preprocess=loaded.preprocess
    ... )
    >>> metrics["count"], metrics["top1"] > 0.97
    (360, True)
    """
    chosen = task or task_of(data)
    options: Any = {"preprocess": viewed(preprocess, tta), "batch_size": batch_size}
    totals, count = measured(model, variables, data, chosen, between=between, **options)
    return chosen.summary(totals, count) | {"count": count}


def measured(
    model: nn.Module,
    variables: Any,
    data: Dataset,
    task: Task,
    *,
    preprocess: Preprocess,
    batch_size: int = 256,
    between: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Any], int]:
    """What a task measures of a model: sums and gathered values, and the number of examples.

    Args:
        model: as in `evaluate`.
        variables: as in `evaluate`.
        data: as in `evaluate`.
        task: its loss and measures are summed; the values of those in `gathered` come in the order
            of the examples, (n, ...).
        preprocess: as in `evaluate`.
        batch_size: as in `evaluate`.
        between: as in `evaluate`.
    """
    mesh = mesh_of(variables)
    batch_size = -(-batch_size // mesh.size) * mesh.size
    variables = spread(variables, mesh)
    totals: dict[str, Any] = {}
    kept: list[dict[str, np.ndarray]] = []
    batches = eval_batches(data, preprocess=preprocess, batch_size=batch_size, shard=hosts.shard())
    for batch in batches:
        between()
        sums, values = _compiled(model, task)(variables, place(batch, mesh))
        totals = {name: totals.get(name, 0.0) + _number(sums[name]) for name in sums}
        kept.append(_without_padding(values))
    count = round(totals.pop("count"))
    return totals | {n: np.concatenate([v[n] for v in kept]) for n in task.gathered}, count


def eval_step(
    model: nn.Module, task: Task, variables: Any, batch: Batch
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Sums over the examples whose mask is 1, and what is gathered of all.

    Returns:
        Sums of "count", "loss" and each measure of the task; and the values of those that it
        gathers beside the "mask".
    """
    found = outputs(model, variables, batch["input"], task)
    labels, mask = batch["label"], batch["mask"]
    measured = {"loss": task.loss(found, labels), **task.measure(found, labels)}
    sums = {n: _masked_sum(v, mask) for n, v in measured.items() if n not in task.gathered}
    values = {name: measured[name] for name in task.gathered}
    return sums | {"count": jnp.sum(mask)}, values | ({"mask": mask} if values else {})


def _masked_sum(values: Float[Array, "b ..."], mask: Float[Array, " b"]) -> Float[Array, "..."]:
    return jnp.sum(values * mask.reshape(-1, *(1,) * (values.ndim - 1)), axis=0)


def _number(total: Array) -> Any:
    return float(total) if total.ndim == 0 else np.asarray(hosts.gathered(total), np.float64)


def _without_padding(values: dict[str, Array]) -> dict[str, np.ndarray]:
    """Rows whose mask is 1, of all processes, in the same order on each."""
    if not values:
        return {}
    whole = hosts.gathered(values)
    real = whole.pop("mask") > 0
    return {name: value[real] for name, value in whole.items()}


@functools.lru_cache(maxsize=8)
def _compiled(model: nn.Module, task: Task) -> Any:
    return jax.jit(functools.partial(eval_step, model, task))
