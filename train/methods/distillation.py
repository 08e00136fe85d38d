r"""Distillation: a student learns a teacher's outputs.

.. math:: L = (1 - w) L_{\mathrm{task}}(y, z) +
    w\, T^2\, \mathrm{CE}(\mathrm{softmax}(z_t / T), \mathrm{softmax}(z / T))

Hinton et al. 2015, https://arxiv.org/abs/1503.02531. With w = 1 and T = 1 it is the soft form of
SReT (Shen et al. 2022, https://arxiv.org/abs/2111.07224, section 4), which uses no labels at all
(Shen et al. 2021, https://arxiv.org/abs/2009.08453).

>>> big = checkpoints.load("resnet20.digits")
>>> objective = distillation(big.model, big.variables, weight=0.5, temperature=2.0)
"""

from typing import Any

import flax.linen as nn
import jax
import optax
from jaxtyping import Array, Float

from train.objective import Batch, Forward, Found, Objective, Remade, per_example
from train.task import CLASSES, Task, judged
from zoo.errors import UsageError
from zoo.layers.wide import wide


def distillation(
    teacher: nn.Module,
    variables: Any,
    *,
    task: Task = CLASSES,
    weight: float = 1.0,
    temperature: float = 1.0,
) -> Objective:
    """Cross entropy against a frozen teacher on the student's own inputs.

    The teacher is an argument of the compiled step, and is not saved with the run.

    Args:
        teacher: module called as `teacher(inputs, train=False)`, with as many outputs.
        variables: of the teacher.
        task: what labels are.
        weight: w, of the teacher's part, in [0, 1].
        temperature: T, by which logits of both are divided.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"`weight` must be in [0, 1], got {weight}")
    if not temperature > 0:
        raise UsageError(f"`temperature` must be positive, got {temperature}")

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        del key
        outputs, batch_stats = forward(params, batch["input"])
        wanted: Any = teacher.apply(state.memory.tree, batch["input"], train=False)
        soft = soft_cross_entropy(outputs, jax.lax.stop_gradient(wanted), temperature)
        losses = weight * soft
        if weight < 1:
            losses += (1 - weight) * judged(task.loss, outputs, batch["label"])
        measured = per_example(task, outputs, batch["label"])
        return losses, (batch_stats, measured | {"distillation": soft})

    return Objective(run, init=lambda _: Remade(variables))


def soft_cross_entropy(
    outputs: Float[Array, "b k"], wanted: Float[Array, "b k"], temperature: float
) -> Float[Array, " b"]:
    """Cross entropy of softened outputs against softened targets, times the temperature squared."""
    if outputs.shape != wanted.shape:
        raise UsageError(
            f"a teacher must have the student's outputs, {outputs.shape}, got {wanted.shape}"
        )
    dtype = wide(outputs.dtype)
    cooled, target = (x.astype(dtype) / temperature for x in (outputs, wanted))
    return temperature**2 * optax.softmax_cross_entropy(cooled, jax.nn.softmax(target))
