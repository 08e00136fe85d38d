"""What labels are, how outputs are judged by them, and the figures that come of it.

A task is a tuple of pure functions. It is named by the data or by the user, never guessed from
labels.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from checkpoints.card import Card
from train.data.dataset import task_name
from train.losses import sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from zoo.errors import UsageError, closest
from zoo.layers.wide import wide


def mean_of_classes(logits: Float[Array, "v b k"]) -> Float[Array, "b k"]:
    """Logarithms of the mean probabilities of classes of which one holds."""
    return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - math.log(len(logits))


def mean_of_several(logits: Float[Array, "v b k"]) -> Float[Array, "b k"]:
    """Logits of the mean probabilities of classes of which any hold."""
    yes, no = (jax.nn.logsumexp(jax.nn.log_sigmoid(x), axis=0) for x in (logits, -logits))
    return yes - no


class Task(NamedTuple):
    """How outputs are judged.

    Attributes:
        loss: (outputs, labels) -> (b,).
        measure: (outputs, labels) -> {name: (b, ...)}, summed over examples, each exactly once.
        summary: (sums, count) -> {name: float} on the host. `sums` holds the sum of the loss and of
            each measure and, under the names in `gathered`, the values of all examples.
        gathered: measures of which every value is kept, for figures that are no sums, such as the
            area under a curve.
        answers: outputs -> what is told of an example: probabilities, or the number itself.
        averaged: outputs of several views, (v, b, ...) -> (b, ...), whose answers are the mean.
    """

    loss: Callable[[Any, Any], Float[Array, " b"]]
    measure: Callable[[Any, Any], dict[str, Array]]
    summary: Callable[[Mapping[str, Any], int], dict[str, float]]
    gathered: tuple[str, ...] = ()
    answers: Callable[[Any], Array] = jax.nn.softmax
    averaged: Callable[[Array], Array] = mean_of_classes


class Mixture(NamedTuple):
    """Labels of examples that are mixed of two, in place of labels.

    Attributes:
        first, second: labels of the two.
        share: of the first, in [0, 1], (b,).
    """

    first: Any
    second: Any
    share: Float[Array, " b"]


def judged(
    loss: Callable[[Any, Any], Float[Array, " b"]], outputs: Any, labels: Any
) -> Float[Array, " b"]:
    """`loss(outputs, labels)`; of mixed examples, both labels' losses by their shares."""
    if not isinstance(labels, Mixture):
        return loss(outputs, labels)
    first, second = loss(outputs, labels.first), loss(outputs, labels.second)
    return labels.share * first + (1 - labels.share) * second


def means(sums: Mapping[str, Any], count: int) -> dict[str, float]:
    """Every sum divided by the number of examples."""
    return {name: float(np.asarray(total) / count) for name, total in sums.items()}


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


def _hits(logits: Array, labels: Array) -> dict[str, Array]:
    return {f"top{k}": top_k_hits(logits, labels, k) for k in (1, 5)}


def mean_average_precision(
    scores: Float[np.ndarray, "n k"], labels: Float[np.ndarray, "n k"]
) -> float:
    r"""The mean over classes of \(\sum_n (R_n - R_{n-1}) P_n\), as scikit-learn has it.

    A class of which there is no example counts zero.

    Args:
        scores: higher ones for what is more likely.
        labels: 1 for each class that an example has, else 0.
    """
    from sklearn.metrics import average_precision_score  # a second, which training need not wait

    present = labels.any(axis=0)
    found = [average_precision_score(labels[:, k], scores[:, k]) for k in np.flatnonzero(present)]
    return float(np.sum(found) / labels.shape[1])


def _several(outputs: Array, labels: Array) -> dict[str, Array]:
    return {"scores": outputs, "labels": labels}


def _precision(sums: Mapping[str, Any], count: int) -> dict[str, float]:
    found = mean_average_precision(sums["scores"], sums["labels"])
    return {"map": found} | means({"loss": sums["loss"]}, count)


def _error(outputs: Array, labels: Array) -> dict[str, Array]:
    dtype = wide(outputs.dtype)
    return {"mae": jnp.abs(outputs[:, 0].astype(dtype) - labels), "targets": labels}


def _regression(sums: Mapping[str, Any], count: int) -> dict[str, float]:
    found = means({name: sums[name] for name in ("loss", "mae")}, count)
    spread = float(np.var(np.asarray(sums["targets"], np.float64)))
    share = found["loss"] / spread if spread else float(found["loss"] > 0)
    return found | {"rmse": math.sqrt(found["loss"]), "r2": 1 - share}


CLASSES = Task(softmax_cross_entropy, _hits, means)
"""One class of several: cross entropy, top-1 and top-5 accuracy. Labels are indices (b,), or
distributions (b, k) in training."""

MULTILABEL = Task(
    sigmoid_cross_entropy,
    _several,
    _precision,
    gathered=("scores", "labels"),
    answers=jax.nn.sigmoid,
    averaged=mean_of_several,
)
"""Any of several classes: binary cross entropy and mean average precision, "map". Labels are
multi-hot, (b, k)."""

NUMBERS = Task(
    squared_error,
    _error,
    _regression,
    gathered=("targets",),
    answers=lambda outputs: outputs,
    averaged=lambda outputs: outputs.mean(axis=0),
)
"""One number per example, (b,) of outputs (b, 1): mean squared error, its root, mean absolute error
and the share of the variance that is explained, "r2"."""

TASKS: dict[str, Task] = {"classes": CLASSES, "multilabel": MULTILABEL, "numbers": NUMBERS}


def task_of(data: Any) -> Task:
    """The task of a data set, see `train.data.dataset.task_name`."""
    return task(task_name(data))


def of_card(card: Card) -> Task:
    """The task of weights, as their card has it; of classes if it has none."""
    return task(card.task or "classes")


def task(name: str) -> Task:
    """A task by the name that data sets give it.

    Raises:
        UsageError: there is no such task.
    """
    if name not in TASKS:
        raise UsageError(
            f"`task` must be one of {', '.join(TASKS)}; got {name!r}{closest(name, TASKS)}"
        )
    return TASKS[name]
