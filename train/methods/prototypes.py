r"""The loss of networks that reason by prototypes, see `zoo.prototypenet`.

.. math:: \lambda\, L_{\mathrm{task}} + |g(f(x)) - x|^2
    + \frac{1}{m} \sum_j \min_i |p_j - f(x_i)|^2 + \frac{1}{n} \sum_i \min_j |f(x_i) - p_j|^2

for n examples and m prototypes: images can be drawn from their codes, every prototype is close to
an example, and every example to a prototype. Li et al. 2018, https://arxiv.org/abs/1710.04806,
equation 7 and section 4.1, where \(\lambda\) is 20.

>>> objective = prototypes(weight=20.0)
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from train.objective import Batch, Forward, Found, Objective, per_example
from train.task import CLASSES, Task, judged
from zoo.errors import UsageError


def prototypes(
    task: Task = CLASSES, *, weight: float = 20.0, mean: Any = 0.0, std: Any = 1.0
) -> Objective:
    """The loss of a network with `with_reconstruction`.

    Args:
        task: what labels are.
        weight: of the task's loss.
        mean: of the preprocessing, as of `std`: inputs times `std` plus `mean` are pixels from 0 to
            1, which is what the decoder draws.
        std: of the preprocessing.
    """
    if weight < 0:
        raise UsageError(f"`weight` must not be negative, got {weight}")

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        del state, key
        found, batch_stats = forward(params, batch["input"], method="with_reconstruction")
        outputs, distances, drawn = found
        pixels = batch["input"] * np.reshape(std, (1, 1, 1, -1)) + np.reshape(mean, (1, 1, 1, -1))
        terms = {
            "reconstruction": jnp.square(drawn - pixels).sum(axis=(1, 2, 3)),
            "prototypes": _nearest_example(distances, forward.axis_name),
            "examples": distances.min(axis=-1),
        }
        losses = weight * judged(task.loss, outputs, batch["label"]) + sum(terms.values())
        return losses, (batch_stats, per_example(task, outputs, batch["label"]) | terms)

    return Objective(run)


def _nearest_example(distances: Float[Array, "b m"], axis_name: str | None) -> Float[Array, " b"]:
    """Parts of the examples in the mean over prototypes of the distance to the nearest example.

    Only the nearest example of the whole batch has a part in a prototype's distance, so that their
    mean over the batch is that mean, on any number of devices.
    """
    nearest, examples = jax.lax.stop_gradient(distances).min(axis=0), len(distances)
    if axis_name is not None:
        nearest = jax.lax.pmin(nearest, axis_name)
        examples *= jax.lax.axis_size(axis_name)
    return examples * jnp.where(distances <= nearest[None], distances, 0).mean(axis=-1)
