"""One update, pure: it knows no method, no task, no family, and of devices an axis name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

from train.accumulation import over_slices
from train.noise import STREAMS, Slice, placed
from train.objective import Batch, Forward, Objective, supervised
from train.state import Optimizer, TrainState, transformation
from zoo.errors import UsageError
from zoo.parameters import Parameters

Step = Callable[[TrainState, Batch, Key[Array, ""]], tuple[TrainState, dict[str, Array]]]


def make_train_step(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    objective: Objective | None = None,
    parameters: Parameters | None = None,
    axis_name: str | None = None,
    batch_norm_groups: int = 1,
    accumulate: int = 1,
) -> Step:
    """The update `(state, batch, key) -> (state, metrics)`, for `parallelize` or plain `jax.jit`.

    Args:
        model: module called as `model(inputs, train=True)`.
        optimizer: optax transformation. Its update is passed `value`, `grad`, `value_fn` and
            `grad_fn`, for those that want them: plateaus, line searches, sharpness.
        objective: what is minimised; default: `supervised()`, cross entropy of classes.
        parameters: what is trained; default: everything.
        axis_name: mapped axis over which the batch is split (pmap, shard_map); None under jit.
        batch_norm_groups: slices of the global batch that are normalised separately; as many as
            devices for "per device" statistics, 1 for statistics of the whole batch.
        accumulate: slices of the batch whose gradients are computed one after another, in the
            memory of one; batch norms normalise each by itself.

    Returns:
        A pure function of a state made with the same objective and parameters. Metrics are means
        over the global batch, "loss" and those of the objective, and the norms "grad_norm",
        "update_norm" and "param_norm" of what is trained.

    >>> model = zoo.create_model("resnet8", num_classes=3, stage_sizes=(1,), width=8)
    >>> images = jnp.linspace(0, 1, 8 * 8 * 8).reshape(8, 8, 8, 1)
    >>> variables = zoo.init_variables(model, jax.random.key(0), images)
    >>> optimizer = optax.sgd(0.1)
    >>> state = train.create_state(variables, optimizer, key=jax.random.key(1))
    >>> step = jax.jit(train.make_train_step(model, optimizer))
    >>> batch = {"input": images, "label": jnp.arange(8) % 3}
    >>> state, metrics = step(state, batch, state.key)
    >>> int(state.step), sorted(metrics)
    (1, ['grad_norm', 'loss', 'param_norm', 'top1', 'top5', 'update_norm'])
    """
    return partial(
        train_step,
        model=model,
        optimizer=transformation(optimizer),
        objective=objective or supervised(),
        parameters=parameters or Parameters(),
        axis_name=axis_name,
        batch_norm_groups=batch_norm_groups,
        accumulate=accumulate,
    )


def train_step(
    state: TrainState,
    batch: Batch,
    key: Key[Array, ""],
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformationExtraArgs,
    objective: Objective,
    parameters: Parameters,
    axis_name: str | None,
    batch_norm_groups: int,
    accumulate: int,
) -> tuple[TrainState, dict[str, Array]]:
    """One update; see `make_train_step`. The n-th draws its noise from `key` folded with n."""
    require_input(batch)
    key = jax.random.fold_in(key, state.step)
    over_devices = lambda t: t if axis_name is None else jax.lax.pmean(t, axis_name)  # noqa: E731

    def mean_loss(trained: Any, batch: Batch, batch_stats: Any, part: Slice) -> Any:
        before = state.replace(batch_stats=batch_stats)
        own = placed(jax.random.fold_in(key, len(STREAMS)), axis_name, part)
        forward = Forward(model, batch_stats, key, axis_name, batch_norm_groups, part=part)
        params = parameters.join(trained, state.kept)
        with parameters.around():
            losses, rest = _checked(objective.loss(forward, params, before, batch, own), before)
        return losses.mean(), rest

    def value(trained: Any, *slice_of: Any) -> Any:
        loss, (batch_stats, _) = mean_loss(trained, *slice_of)
        return batch_stats, loss

    def gradients(trained: Any, *slice_of: Any) -> Any:
        both = jax.value_and_grad(mean_loss, has_aux=True)(trained, *slice_of)
        (loss, (batch_stats, found)), grads = both
        return batch_stats, ({"loss": loss, **jax.tree.map(jnp.mean, found)}, grads)

    def over_batch(compute: Callable[..., Any], trained: Any) -> tuple[Any, Any]:
        each = partial(compute, trained)
        batch_stats, means = over_slices(each, batch, state.batch_stats, accumulate)
        return batch_stats, over_devices(means)

    def value_fn(trained: Any, grad_fn: Any = None) -> Array:  # optax passes on what it is passed
        del grad_fn
        return over_batch(value, trained)[1]

    def grad_fn(trained: Any, *_: Any) -> Any:
        return over_batch(gradients, trained)[1][1]

    batch_stats, (metrics, grads) = over_batch(gradients, state.trained)
    extra = {"value": metrics["loss"], "grad": grads, "value_fn": value_fn, "grad_fn": grad_fn}
    updates, opt_state = optimizer.update(grads, state.opt_state, state.trained, **extra)
    trained = optax.apply_updates(state.trained, updates)
    norms = {"grad_norm": grads, "update_norm": updates, "param_norm": trained}
    average = state.average and state.average.moved(trained, state.step)
    return (
        state.replace(
            step=state.step + 1,
            trained=trained,
            batch_stats=batch_stats,
            opt_state=opt_state,
            average=average,
            memory=objective.after(state.memory, parameters.join(trained, state.kept)),
        ),
        metrics | {name: optax.tree.norm(tree) for name, tree in norms.items()},
    )


def require_input(batch: Batch) -> None:
    """Refuses batches of the old spelling.

    Raises:
        UsageError: the batch has no "input".
    """
    if "input" not in batch:
        hint = "; call `image` `input`" if "image" in batch else ""
        raise UsageError(f"a batch needs the key `input`, and has {', '.join(batch)}{hint}")


def _checked(result: Any, state: TrainState) -> Any:
    """What an objective returned, if it has the form that it must have."""
    try:
        losses, (batch_stats, metrics) = result
        shapes = {name: jnp.shape(value) for name, value in metrics.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            "`objective.loss` must return losses, (batch_stats, metrics), where batch_stats are "
            "the second value of `forward`"
        ) from error
    if jnp.ndim(losses) != 1:
        raise UsageError(
            f"`objective.loss` must return one loss per example, (b,), got {jnp.shape(losses)}"
        )
    if wrong := {name: shape for name, shape in shapes.items() if len(shape) != 1}:
        name, shape = next(iter(wrong.items()))
        raise UsageError(f"metric {name!r} must have one value per example, (b,), got {shape}")
    described = lambda tree: jax.tree.map(lambda x: (jnp.shape(x), x.dtype), tree)  # noqa: E731
    if described(batch_stats) != described(state.batch_stats):
        raise UsageError(
            "`objective.loss` must return the running statistics of all batch norms, as `forward` "
            "returns them, with shapes and dtypes as they were"
        )
    return losses, (batch_stats, metrics)
