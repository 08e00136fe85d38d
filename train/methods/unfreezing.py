r"""Training that begins at the head and goes back through the network: gradual unfreezing.

.. math:: s_n = 0, \quad s_l = f + e\,(n - 1 - l)

Layer l of 0 to n, the head, is trained from step \(s_l\) on: the head alone for f steps, then the
layer before it too, and one more every e steps; with e = 0 all of them at once. Howard & Ruder
2018, https://arxiv.org/abs/1801.06146, section 3.3; f alone is the linear probing before
fine-tuning of Kumar et al. 2022, https://arxiv.org/abs/2202.10054.

Moments of the optimiser follow the gradients of layers that wait, so that these begin with steps of
the usual size. A batch norm that waits normalises as in evaluation, and keeps its statistics.

>>> layers = {"stem": {"kernel": 0}, "block": {"kernel": 1}, "head": {"kernel": 2}}
>>> starts = starting(layers, first=100, every=50)
>>> starts
{'block': {'kernel': 100}, 'head': {'kernel': 0}, 'stem': {'kernel': 150}}
>>> optimizer = unfreezing(optax.adamw(1e-3), starts)
>>> objective = norms_unfreezing(supervised(), starts)
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict

from train.objective import Batch, Forward, Found, Objective
from zoo.errors import UsageError
from zoo.layers.norm import norms_as_in_evaluation
from zoo.parameters.depth import depth_of


def starting(depths: Any, *, first: int, every: int = 0) -> Any:
    """The step from which on each parameter is trained, a tree like `depths`.

    Args:
        depths: numbers of the layers, as `zoo.parameters.depths` has them.
        first: f, steps in which the head alone is trained.
        every: e, steps between a layer and the one before it.

    Raises:
        UsageError: f or e is negative.
    """
    for name, value in (("first", first), ("every", every)):
        if value < 0:
            raise UsageError(f"`{name}` must be at least 0, got {value}")
    last = max(jax.tree.leaves(depths))
    step = lambda depth: 0 if depth == last else first + every * (last - 1 - depth)  # noqa: E731
    return jax.tree.map(step, depths)


def unfreezing(
    optimizer: optax.GradientTransformation, starts: Any
) -> optax.GradientTransformationExtraArgs:
    """An optimiser that leaves each parameter as it is until its step.

    Args:
        optimizer: what moves the parameters.
        starts: of all parameters, or of more; see `starting`. What is trained beside a parameter,
            such as factors of low rank, begins with it.
    """

    def init(params: Any) -> optax.ScaleByScheduleState:
        del params
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params

        def masked(path: Any, update: jax.Array) -> jax.Array:
            begun = state.count >= depth_of(starts, path)
            return jnp.where(begun, update, jnp.zeros_like(update))

        count = optax.safe_increment(state.count)
        return jax.tree_util.tree_map_with_path(masked, updates), state._replace(count=count)

    waiting = optax.GradientTransformation(init, update)
    return optax.with_extra_args_support(optax.chain(optimizer, waiting))


def norms_unfreezing(objective: Objective, starts: Any) -> Objective:
    """An objective under which batch norms that wait normalise as in evaluation.

    Args:
        objective: what to minimise.
        starts: as in `unfreezing`.
    """
    steps = flatten_dict(starts, sep="/")

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        with norms_as_in_evaluation(lambda path: state.step < steps.get(path, 0)):
            return objective.loss(forward, params, state, batch, key)

    return objective._replace(loss=run)
