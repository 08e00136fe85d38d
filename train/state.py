"""Everything a run needs to go on, as one tree of arrays."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from train.objective import Objective, supervised
from zoo.errors import UsageError
from zoo.parameters import Parameters

Optimizer = optax.GradientTransformation | optax.MultiSteps


class Average(flax.struct.PyTreeNode):
    r"""Exponential moving average of what is trained.

    After update t it is \(d_t a + (1 - d_t) p\) with \(d_t = \min(d, (1 + t) / (10 + t))\): warmed
    up, so that it forgets the initial values in short runs as in long ones, as TensorFlow's
    `ExponentialMovingAverage` with `num_updates` does.

    Attributes:
        params: the average.
        decay: d.
    """

    params: Any
    decay: float = flax.struct.field(pytree_node=False)

    def moved(self, params: Any, step: Int[Array, ""]) -> "Average":
        """The average after update `step`, counted from zero."""
        decay = warmed_up(self.decay, step)
        return self.replace(params=optax.incremental_update(params, self.params, 1 - decay))


def warmed_up(decay: float, step: Int[Array, ""]) -> Float[Array, ""]:
    """Decay of an average after `step` updates; see `Average`."""
    return jnp.minimum(decay, (1 + step) / (10 + step))


class TrainState(flax.struct.PyTreeNode):
    """State between two updates.

    Attributes:
        step: updates made.
        trained: what has gradients: the first half of `Parameters.split`.
        kept: the other half, the same at all times.
        batch_stats: running statistics of batch norms; empty for models without.
        opt_state: state of the optax transformation.
        average: moving average of what is trained, or None.
        memory: what the objective remembers.
        key: typed random key of the run; step n draws from it folded with n.
    """

    step: Int[Array, ""]
    trained: Any
    kept: Any
    batch_stats: Any
    opt_state: optax.OptState
    average: Average | None
    memory: Any
    key: Key[Array, ""]


def create_state(
    variables: dict[str, Any],
    optimizer: Optimizer,
    *,
    key: Key[Array, ""],
    objective: Objective | None = None,
    parameters: Parameters | None = None,
    average: float | None = None,
) -> TrainState:
    """The state before the first update.

    Args:
        variables: `{"params": ..., "batch_stats": ...}`, copied to the default device.
        optimizer: transformation that `make_train_step` will use.
        key: typed random key of the run.
        objective: what `make_train_step` will minimise; default: `supervised()`.
        parameters: what is trained; default: everything.
        average: decay of a moving average of what is trained, which is then what is published.

    Raises:
        UsageError: the halves of `parameters` do not join to parameters of the same shapes.

    >>> loaded = checkpoints.load("resnet8.digits")
    >>> state = train.create_state(
    ...     loaded.variables, optax.adamw(1e-3), key=jax.random.key(0), average=0.999
    ... )
    >>> int(state.step), state.trained["head"]["kernel"].shape
    (0, (64, 10))
    """
    objective, parameters = objective or supervised(), parameters or Parameters()
    variables = copied(variables)
    params = variables["params"]
    trained, kept = parameters.split(params)
    _require_same_tree(params, jax.eval_shape(parameters.join, trained, kept))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        trained=trained,
        kept=kept,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=copied(transformation(optimizer).init(trained)),
        average=None if average is None else Average(copied(trained), average),
        memory=copied(objective.init(variables)),
        key=key,
    )


def published(state: TrainState, parameters: Parameters | None = None) -> dict[str, Any]:
    """What is evaluated and saved of a state: `{"params": ..., "batch_stats": ...}`.

    The parameters are those of the network, joined of what is kept and of what was trained, or its
    average if there is one.

    Args:
        state: of a run, with the parameters that it was created with.
        parameters: as in `create_state`.

    >>> variables = {"params": {"w": jnp.ones(2)}}
    >>> state = train.create_state(variables, optax.sgd(0.1), key=jax.random.key(0))
    >>> train.published(state)
    {'params': {'w': Array([1., 1.], dtype=float32)}, 'batch_stats': {}}
    """
    trained = state.trained if state.average is None else state.average.params
    params = (parameters or Parameters()).join(trained, state.kept)
    return {"params": params, "batch_stats": state.batch_stats}


def transformation(optimizer: Optimizer) -> optax.GradientTransformationExtraArgs:
    """An optax transformation, or what accumulates gradients for one, in one form."""
    if isinstance(optimizer, optax.MultiSteps):
        return optax.with_extra_args_support(optimizer.gradient_transformation())
    return optax.with_extra_args_support(optimizer)


def copied(tree: Any) -> Any:
    """A tree of arrays that share no memory with the originals, which may be donated."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)


def _require_same_tree(params: Any, joined: Any) -> None:
    described = lambda tree: {  # noqa: E731
        jax.tree_util.keystr(path, simple=True, separator="/"): (leaf.shape, leaf.dtype.name)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    before, after = described(params), described(joined)
    if wrong := [name for name in before | after if before.get(name) != after.get(name)]:
        name = wrong[0]
        raise UsageError(
            f"`parameters` must join to what they split: {name} was "
            f"{before.get(name, 'not there')} and becomes {after.get(name, 'nothing')}"
        )
