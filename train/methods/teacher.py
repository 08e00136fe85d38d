r"""Mean teacher: outputs have to agree with those of an average of the student's past.

.. math:: L = L_{\mathrm{task}} + w\, |\mathrm{softmax}(f(x; \theta)) -
    \mathrm{softmax}(f(x; \theta'))|^2, \quad \theta' \leftarrow d\,\theta' + (1 - d)\,\theta

Tarvainen & Valpola 2017, https://arxiv.org/abs/1703.01780.

>>> objective = mean_teacher(decay=0.99, weight=1.0)
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from train.objective import Batch, Forward, Found, Objective, per_example
from train.task import CLASSES, Task, judged
from zoo.errors import UsageError


def mean_teacher(task: Task = CLASSES, *, decay: float = 0.99, weight: float = 1.0) -> Objective:
    """The task's loss and the squared distance to the teacher's probabilities.

    The teacher sees the same inputs in evaluation mode, with the student's running statistics. It
    is memory of the run, saved and resumed with it.

    Args:
        task: what labels are.
        decay: d, in [0, 1).
        weight: w, of the distance.
    """
    if not 0 <= decay < 1:
        raise UsageError(f"`decay` must be at least 0 and below 1, got {decay}")

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        del key
        outputs, batch_stats = forward(params, batch["input"])
        wanted, _ = forward(state.memory, batch["input"], train=False)
        gap = jnp.square(jax.nn.softmax(outputs) - jax.lax.stop_gradient(jax.nn.softmax(wanted)))
        distance = gap.sum(-1)
        losses = judged(task.loss, outputs, batch["label"]) + weight * distance
        measured = per_example(task, outputs, batch["label"])
        return losses, (batch_stats, measured | {"consistency": distance})

    return Objective(
        run,
        init=lambda variables: variables["params"],
        after=lambda memory, params: optax.incremental_update(params, memory, 1 - decay),
    )
