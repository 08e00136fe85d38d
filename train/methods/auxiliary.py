r"""Losses of auxiliary heads, and ScheduledDropPath.

.. math:: L = L_{\mathrm{main}} + w \sum_a L_a

The weight is 0.3 in Szegedy et al. 2015, https://arxiv.org/abs/1409.4842, section 5; 0.4 in
Inception v3's published training code and in NASNet (Zoph et al. 2018,
https://arxiv.org/abs/1707.07012, appendix A.3), whose ScheduledDropPath raises the probability of
dropping a path linearly over the run.

>>> objective = scheduled_drop_path(auxiliary(weight=0.4), steps=10_000)
"""

from collections.abc import Callable
from typing import Any

from train.objective import Batch, Forward, Found, Objective, calling, per_example
from train.task import CLASSES, Task, judged
from zoo.errors import UsageError


def auxiliary(
    task: Task = CLASSES, *, weight: float = 0.3, loss: Callable[[Any, Any], Any] | None = None
) -> Objective:
    """The loss of a network that has auxiliary heads (`aux_heads=True`).

    Args:
        task: what labels are.
        weight: w, the same for every auxiliary head.
        loss: as in `train.supervised`.
    """
    if weight < 0:
        raise UsageError(f"`weight` must not be negative, got {weight}")
    chosen = loss or task.loss

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        del state, key
        found, batch_stats = forward(params, batch["input"], method="with_auxiliary")
        outputs, *others = found
        labels = batch["label"]
        extra: Any = sum(judged(chosen, other, labels) for other in others)
        losses = judged(chosen, outputs, labels) + weight * extra
        return losses, (batch_stats, per_example(task, outputs, labels) | {"auxiliary": extra})

    return Objective(run)


def scheduled_drop_path(objective: Objective, steps: int) -> Objective:
    """Passes the network the share of training that is over, as `progress`.

    Args:
        objective: what to minimise.
        steps: updates of the run.
    """
    return calling(objective, lambda state: {"progress": state.step / steps})
