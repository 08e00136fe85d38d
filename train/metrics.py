"""Counting hits, and an evaluation in which every example counts exactly once."""

import functools
import math
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from checkpoints.preprocess import Preprocess
from train import hosts
from train.parallel import data_mesh, place, replicate

if TYPE_CHECKING:
    from train.data import Dataset


def top_k_hits(
    logits: Float[Array, "b k"], labels: Int[Array, " b"] | Float[Array, "b k"], k: int
) -> Float[Array, " b"]:
    """1 where the label is among the k largest logits, else 0.

    Logits that are equal count against it, and so do those that are not numbers.
    """
    if labels.ndim == 2:
        labels = labels.argmax(axis=-1)
    target = jnp.take_along_axis(logits, labels[:, None], axis=-1)
    index = jnp.arange(logits.shape[-1])[None]
    ahead = ~(logits < target) & (index != labels[:, None])
    return (ahead.sum(axis=-1) < k).astype(jnp.float32)


def evaluate(
    model: nn.Module,
    variables: Any,
    data: "Dataset",
    *,
    preprocess: Preprocess,
    batch_size: int = 256,
) -> dict[str, float | int]:
    """Accuracy and loss of a model on a data set, on all devices.

    The last batch is padded and masked, so the result depends neither on the batch size nor on
    the number of devices.

    Args:
        model: module called as `model(images, train=False)`.
        variables: `{"params": ..., "batch_stats": ...}`.
        data: what `load_dataset` returns.
        preprocess: from a raw image to the network's input; belongs to the weights.
        batch_size: images at a time, over all devices; rounded up to a multiple of them.

    Returns:
        "top1" and "top5" in [0, 1], mean "loss" in nats, and "count" of examples; where labels are
        numbers, the mean squared "loss" and its root, "rmse".
    """
    from train.data import eval_batches

    mesh = data_mesh()
    batch_size = -(-batch_size // mesh.size) * mesh.size
    variables = replicate(variables, mesh)
    totals: dict[str, float] = {}
    batches = eval_batches(data, preprocess=preprocess, batch_size=batch_size, shard=hosts.shard())
    for batch in batches:
        sums = _compiled(model)(variables, place(batch, mesh))
        totals = {name: totals.get(name, 0.0) + float(sums[name]) for name in sums}
    count = round(totals.pop("count"))
    means = {name: total / count for name, total in totals.items()}
    if "top1" not in means:
        means["rmse"] = math.sqrt(means["loss"])
    return means | {"count": count}


@functools.lru_cache(maxsize=8)
def _compiled(model: nn.Module) -> Any:
    from train.step import eval_step

    return jax.jit(functools.partial(eval_step, model))
