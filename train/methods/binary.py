r"""Binary cross entropy on labels of one class of several: every class is a question of its own.

.. math:: L = -\frac1k \sum_j q_j \log \sigma(z_j) + (1 - q_j) \log \sigma(-z_j)

Wightman et al. 2021, https://arxiv.org/abs/2110.00476, section 4.1. Of examples that are mixed of
two, both classes are there: q is 1 for each whose share is above a threshold (theirs is 0.2 in
timm), so that a picture of a dog and a cat is a dog, and a cat.

>>> mixing = train.methods.mixing.mixup_or_cutmix(0.1, 1.0)
>>> objective = train.on(mixing, binary(threshold=0.2))
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from train.losses import sigmoid_cross_entropy
from train.objective import Batch, Forward, Found, Objective, per_example
from train.task import CLASSES, Mixture, Task
from zoo.errors import UsageError
from zoo.layers.wide import wide


def binary(
    task: Task = CLASSES, *, smoothing: float = 0.0, threshold: float | None = None
) -> Objective:
    """The mean over classes of binary cross entropies.

    Args:
        task: what is measured beside.
        smoothing: share of each label that is spread evenly over all classes.
        threshold: share in a mixture above which a class is there wholly, and below which it is not
            at all; None takes shares as targets.

    Raises:
        UsageError: a number is no share.
    """
    for name, share in {"smoothing": smoothing, "threshold": threshold}.items():
        if share is not None and not 0 <= share < 1:
            raise UsageError(f"`{name}` must be at least 0 and below 1, got {share}")

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        del state, key
        outputs, batch_stats = forward(params, batch["input"])
        labels = batch["label"]
        q = targets(labels, outputs.shape[-1], smoothing, threshold).astype(wide(outputs.dtype))
        return sigmoid_cross_entropy(outputs, q), (batch_stats, per_example(task, outputs, labels))

    return Objective(run)


def targets(
    labels: Any, classes: int, smoothing: float = 0.0, threshold: float | None = None
) -> Float[Array, "b k"]:
    """How much of each class is in each example.

    Args:
        labels: classes, (b,), distributions over them, (b, k), or a `Mixture` of two of either.
        classes: k.
        smoothing: as of `binary`.
        threshold: as of `binary`.
    """
    if isinstance(labels, Mixture):
        share = labels.share[:, None]
        first, second = (targets(part, classes) for part in (labels.first, labels.second))
        found = share * first + (1 - share) * second
        found = found if threshold is None else (found > threshold).astype(found.dtype)
    else:
        is_index = jnp.issubdtype(labels.dtype, jnp.integer)
        found = jax.nn.one_hot(labels, classes) if is_index else labels
    return found * (1 - smoothing) + smoothing / classes
