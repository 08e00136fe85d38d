"""What a training method is: a tuple of pure functions, as an optax transformation is one.

The step, the loop and `parallelize` know of a method nothing but its `Objective`. A method of
one's own is a function that returns one, see there.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from train.noise import WHOLE, Slice, streams
from train.task import CLASSES, Mixture, Task, judged
from zoo.errors import UsageError
from zoo.layers.norm import batch_spread

Tree = Any
Batch = dict[str, Any]  # "input" (b, ...) and "label" (b, ...); "mask" (b,) in evaluation
Losses = Float[Array, " b"]
Found = tuple[Losses, tuple[Tree, dict[str, Losses]]]


class Objective(NamedTuple):
    """What is minimised, and what the method remembers between steps.

    Attributes:
        loss: (forward, params, state, batch, key) -> losses (b,), (batch_stats, metrics), where
            metrics are {name: (b,)}; means over the global batch are minimised and logged. `key`
            draws noise that belongs to examples, see `train.noise.placed`; `state.memory` is what
            the method remembers, `state.step` counts updates.
        init: variables -> memory, any tree of arrays: a teacher, a queue, a centre. What can be
            made again, such as a frozen teacher, is wrapped in `Remade` and not saved.
        after: (memory, params) -> memory, once the parameters have moved.

    >>> def confident(weight, task=train.CLASSES):  # a network pays for being sure
    ...     def loss(forward, params, state, batch, key):
    ...         logits, batch_stats = forward(params, batch["input"])
    ...         log_p = jax.nn.log_softmax(logits)
    ...         entropy = -(jnp.exp(log_p) * log_p).sum(-1)
    ...         losses = task.loss(logits, batch["label"]) - weight * entropy
    ...         return losses, (batch_stats, {"entropy": entropy})
    ...
    ...     return train.Objective(loss)
    >>> objective = confident(weight=0.1)
    """

    loss: Callable[[Any, Tree, Any, Batch, Any], Found]
    init: Callable[[Tree], Tree] = lambda variables: ()
    after: Callable[[Tree, Tree], Tree] = lambda memory, params: memory


class Remade(flax.struct.PyTreeNode):
    """Memory that `Objective.init` makes again on resume, and that is therefore not saved."""

    tree: Tree


class Forward:
    """The network of one step: `forward(params, *inputs) -> (outputs, batch_stats)`.

    Args:
        model: module called as `model(*inputs, train=...)`.
        batch_stats: running statistics before the step, the default of every call.
        key: of the step, the same on all devices.
        axis_name: mapped axis over which the batch is split, or None.
        groups: slices of the global batch that batch norms normalise separately.
        arguments: keyword arguments of every call in training mode.
        part: slice of the batch that inputs are of, to whose examples noise belongs.
    """

    def __init__(
        self,
        model: nn.Module,
        batch_stats: Tree,
        key: Key[Array, ""],
        axis_name: str | None = None,
        groups: int = 1,
        arguments: dict[str, Any] | None = None,
        part: Slice = WHOLE,
    ):
        self.model, self.batch_stats, self.key, self.part = model, batch_stats, key, part
        self.axis_name, self.groups, self.arguments = axis_name, groups, arguments or {}

    def __call__(
        self,
        params: Tree,
        *inputs: Any,
        train: bool = True,
        batch_stats: Tree | None = None,
        method: str | None = None,
        key: Key[Array, ""] | None = None,
        **call: Any,
    ) -> tuple[Any, Tree]:
        """Outputs of the network, and its running statistics afterwards.

        Args:
            params: of the whole network.
            inputs: of the network.
            train: mode; without it statistics stay and no noise is drawn.
            batch_stats: statistics to start from.
            method: of the module, such as "with_auxiliary" or "features"; None is its call.
            key: draws other noise than the step's own, for a second pass; the same on all devices.
            call: further arguments of the method.
        """
        before = self.batch_stats if batch_stats is None else batch_stats
        call = {**(self.arguments if train else {}), **call}
        self._require_method(method or "__call__", call)
        outputs, new = self._apply(
            {"params": params, "batch_stats": before},
            *inputs,
            train=train,
            method=method,
            rngs=self._noise(self.key if key is None else key) if train else {},
            mutable=["batch_stats"] if train else [],
            **call,
        )
        return outputs, new.get("batch_stats", before)

    def calling(self, **arguments: Any) -> "Forward":
        """One with further keyword arguments of every call in training mode."""
        made = copy.copy(self)
        made.arguments = self.arguments | arguments
        return made

    def _noise(self, key: Key[Array, ""]) -> dict[str, Key[Array, ""]]:
        return streams(key, self.axis_name, self.part)

    def _require_method(self, method: str, call: dict[str, Any]) -> None:
        kind = type(self.model).__name__
        if not hasattr(type(self.model), method):
            raise UsageError(f"the objective calls `{method}`, and {kind} has no such method")
        known = inspect.signature(getattr(type(self.model), method)).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
        if unknown := [name for name in call if name not in known and not open_ended]:
            raise UsageError(
                f"the objective passes `{unknown[0]}`, and {kind} takes no such argument"
            )

    def _apply(self, *arguments: Any, **call: Any) -> Any:
        spread = batch_spread(self.axis_name, self.groups)
        with spread, nn.intercept_methods(require_spread_norms(self.axis_name)):
            return self.model.apply(*arguments, **call)


def supervised(
    task: Task = CLASSES, *, loss: Callable[[Any, Any], Losses] | None = None, **call: Any
) -> Objective:
    """The loss of a task on labelled examples.

    Args:
        task: what labels are; see `train.task`.
        loss: (outputs, labels) -> (b,), in place of the task's, such as one with smoothed labels.
        call: further arguments of every forward pass, such as `train=False` for a backbone whose
            statistics stay.

    >>> smoothed = partial(train.softmax_cross_entropy, smoothing=0.1)
    >>> objective = train.supervised(loss=smoothed)
    """
    chosen = loss or task.loss

    def run(forward: Forward, params: Tree, state: Any, batch: Batch, key: Any) -> Found:
        del state, key
        outputs, batch_stats = forward(params, batch["input"], **call)
        measured = per_example(task, outputs, batch["label"])
        return judged(chosen, outputs, batch["label"]), (batch_stats, measured)

    return Objective(run)


def per_example(task: Task, outputs: Any, labels: Any) -> dict[str, Losses]:
    """What a task measures of every example by one number."""
    labels = labels.first if isinstance(labels, Mixture) else labels
    measured = task.measure(jax.lax.stop_gradient(outputs), labels)
    kept = {name: value for name, value in measured.items() if name not in task.gathered}
    return {name: value for name, value in kept.items() if value.ndim == 1}


def on(transform: Callable[[Batch, Batch, Any], Batch], objective: Objective) -> Objective:
    """An objective on changed batches: mixed, turned, erased.

    Args:
        transform: (batch, following, key) -> batch. `following` holds, at the place of each
            example, the next one of the global batch: a partner to mix with, on whichever device
            it is. It costs nothing where it is not used.
        objective: what to minimise on the batches that come out.

    >>> def darker(batch, following, key):
    ...     return {**batch, "input": batch["input"] * jax.random.uniform(key)}
    >>> objective = train.on(darker, train.supervised())
    """

    def run(forward: Forward, params: Tree, state: Any, batch: Batch, key: Any) -> Found:
        following = next_examples(batch, forward.axis_name)
        changed = transform(batch, following, jax.random.fold_in(key, 0))
        return objective.loss(forward, params, state, changed, jax.random.fold_in(key, 1))

    return objective._replace(loss=run)


def calling(objective: Objective, arguments: Callable[[Any], dict[str, Any]]) -> Objective:
    """An objective whose forward passes in training get arguments that depend on the state.

    Args:
        objective: what to minimise.
        arguments: state -> keyword arguments of the network, such as its `progress`.

    >>> objective = train.calling(train.supervised(), lambda state: {"progress": state.step / 100})
    """

    def run(forward: Forward, params: Tree, state: Any, batch: Batch, key: Any) -> Found:
        return objective.loss(forward.calling(**arguments(state)), params, state, batch, key)

    return objective._replace(loss=run)


def next_examples(batch: Tree, axis_name: str | None) -> Tree:
    """Each example's successor in the global batch; the last one's is the first."""

    def roll(x: Array) -> Array:
        first = x[:1]
        if axis_name is not None:
            devices = jax.lax.axis_size(axis_name)
            ring = [(n, (n - 1) % devices) for n in range(devices)]
            first = jax.lax.ppermute(first, axis_name, ring)
        return jnp.concatenate([x[1:], first])

    return jax.tree.map(roll, batch)


def require_spread_norms(axis_name: str | None) -> Callable[..., Any]:
    """Interceptor that refuses Flax's batch norm where its statistics would differ by device."""

    def check(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        norm = context.module
        if isinstance(norm, nn.BatchNorm) and norm.axis_name != axis_name:
            running = kwargs.get("use_running_average", norm.use_running_average)
            if not (args[1] if len(args) > 1 else running):
                raise UsageError(
                    f"{'/'.join(norm.path)} is Flax's BatchNorm with axis_name={norm.axis_name!r}, "
                    f"whose statistics would differ between devices; give it "
                    f"axis_name={axis_name!r}, or use zoo.layers.norm.BatchNorm"
                )
        return call(*args, **kwargs)

    return check
