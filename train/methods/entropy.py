r"""A penalty on the entropy of answers, which makes a network sure.

.. math:: L(\theta, x, y) + \lambda H(p_\theta(x))

Cubuk et al. 2017, "Intriguing Properties of Adversarial Examples",
https://arxiv.org/abs/1711.02846, section 4: sure answers have larger margins, and the error under
small attacks falls.

>>> objective = entropy_penalty(weight=0.5)
"""

from typing import Any

import jax
import jax.numpy as jnp

from train.objective import Batch, Forward, Found, Objective, per_example
from train.task import CLASSES, Task, judged
from zoo.layers.wide import wide


def entropy_penalty(task: Task = CLASSES, *, weight: float = 0.5) -> Objective:
    """The loss of a task of classes and `weight` times the entropy of the answer, in nats.

    Args:
        task: what labels are.
        weight: of the entropy; a negative one rewards doubt (Pereyra et al. 2017,
            https://arxiv.org/abs/1701.06548).
    """

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        del state, key
        logits, batch_stats = forward(params, batch["input"])
        log_p = jax.nn.log_softmax(logits.astype(wide(logits.dtype)))
        entropy = -(jnp.exp(log_p) * log_p).sum(axis=-1)
        losses = judged(task.loss, logits, batch["label"]) + weight * entropy
        measured = per_example(task, logits, batch["label"]) | {"entropy": entropy}
        return losses, (batch_stats, measured)

    return Objective(run)
