r"""Adversarial training: the loss on the worst inputs near those of the batch.

.. math:: \min_\theta \mathbb{E} \max_{|\delta|_\infty \le \epsilon} L(\theta, x + \delta, y)

Madry et al. 2018, https://arxiv.org/abs/1706.06083; see `zoo.attack.pgd`.

>>> objective = adversarial(supervised(), eps=0.1, step=0.025, steps=7)
"""

from typing import Any

import jax
import jax.numpy as jnp

from train.objective import Batch, Forward, Found, Objective
from zoo.attack import pgd
from zoo.attack.pgd import Bound


def adversarial(
    objective: Objective,
    *,
    eps: Bound,
    step: Bound | None = None,
    steps: int = 7,
    low: Bound = -jnp.inf,
    high: Bound = jnp.inf,
) -> Objective:
    """An objective on attacked batches.

    The attack sees the network in training mode with the noise of the step. All bounds are in units
    of the network's inputs, that is after normalisation.

    Args:
        objective: what is attacked, and then minimised.
        eps: largest change; one number, or one per channel.
        step: of the attack; None is `2.5 * eps / steps`.
        steps: of the attack, from a random start.
        low: smallest valid input.
        high: largest valid input.
    """
    length = 2.5 * eps / steps if step is None else step

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        def loss(inputs: Any) -> Any:
            return objective.loss(forward, params, state, {**batch, "input": inputs}, key)[0]

        start, fixed = jax.random.fold_in(key, 2), jax.lax.stop_gradient(batch["input"])
        worst = pgd(loss, fixed, start, eps=eps, step=length, steps=steps, low=low, high=high)
        changed = {**batch, "input": jax.lax.stop_gradient(worst)}
        return objective.loss(forward, params, state, changed, key)

    return objective._replace(loss=run)
