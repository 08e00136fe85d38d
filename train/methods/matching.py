r"""A network learns what another one has inside, before it learns its answers.

.. math:: L = \sum_s \mathrm{mean}\,(f_s - t_s)^2

over stages s. It is how a part that was replaced learns to be as the part before: Matsubara et al.
2022, "BottleFit", https://arxiv.org/abs/2201.02693, section 3, first stage.

>>> whole = checkpoints.load("resnet8.digits")
>>> objective = matching(whole.model, whole.variables, ["stage2", "stage3"])
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from train.objective import Batch, Forward, Found, Objective, Remade
from zoo.errors import UsageError


def matching(teacher: nn.Module, variables: Any, stages: Sequence[str]) -> Objective:
    """Squared distance to the stages of a frozen teacher on the same inputs.

    The teacher is an argument of the compiled step, and is not saved with the run.

    Args:
        teacher: module with the method `features(inputs, train=False)`.
        variables: of the teacher.
        stages: names of its features, of the same shapes as those of the network.

    Raises:
        UsageError: there are none.
    """
    if not stages:
        raise UsageError("`stages` must name at least one stage that is matched")

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        del key
        ours, batch_stats = forward(params, batch["input"], method="features")
        call = {"train": False, "method": "features"}
        theirs: Any = teacher.apply(state.memory.tree, batch["input"], **call)
        gaps = [_distance(ours[stage], jax.lax.stop_gradient(theirs[stage])) for stage in stages]
        return jnp.stack(gaps).sum(0), (batch_stats, {})

    return Objective(run, init=lambda _: Remade(variables))


def _distance(ours: Any, theirs: Any) -> Any:
    return jnp.square(ours - theirs).reshape(len(ours), -1).mean(1)
