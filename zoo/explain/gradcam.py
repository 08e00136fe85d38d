r"""Grad-CAM: where in a stage of a network the evidence for a class lies.

.. math:: \mathrm{ReLU}\Big(\sum_c w_c A_c\Big), \qquad
    w_c = \frac{1}{hw} \sum_{ij} \frac{\partial s_t}{\partial A_{cij}}

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, equations 1 and 2.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import Literal
from jaxtyping import Array, Float

from zoo import programs
from zoo.errors import UsageError, closest
from zoo.explain.gradients import Target, chosen

_LAYOUT = ("reshape", "slice", "squeeze", "transpose", "convert_element_type", "expand_dims")


class Stages(NamedTuple):
    """A network as a program whose outputs are its logits and every stage of its pyramid."""

    program: Any
    constants: Sequence[Any]
    names: tuple[str, ...]


def gradcam(
    model: nn.Module,
    variables: Any,
    inputs: Float[Array, "b ..."],
    target: Target,
    *,
    stage: str | None = None,
) -> Float[Array, "b ..."]:
    """Maps of the evidence for a class in a stage, at the size of the inputs, at least 0.

    >>> maps = zoo.explain.gradcam(model, variables, images, target, stage="stage4")  # (b, h, w)

    Args:
        model: a network with the method `features`.
        variables: its variables.
        inputs: images (b, h, w, c), or series (b, l, c).
        target: the class that is explained, one number or one per example.
        stage: a name of its pyramid; None is the last one that the logits read, after the norm and
            the rectifier that may follow it. Where they read a class token, the patches after the
            last block concern them no more, and it is the input of that block.

    Raises:
        UsageError: there is no such stage, or the maps of all inputs are zero everywhere.
    """
    maps = _maps(model, stage, variables, inputs, jnp.asarray(target))
    if not isinstance(maps, Tracer) and not np.asarray(maps).any():
        raise UsageError(
            f"the map is zero everywhere: `stage` {stage or 'that the logits read'} holds no "
            f"evidence for class {np.asarray(target).tolist()}; explain another class, or choose "
            f"an earlier stage of {', '.join(stage_names(model, variables, inputs))}"
        )
    return maps


def stage_names(model: nn.Module, variables: Any, inputs: Any) -> tuple[str, ...]:
    """Names of the stages of a network that have places, first to last."""
    return _traced(model, variables, inputs).names


def stage_shapes(model: nn.Module, variables: Any, inputs: Any) -> list[tuple[int, ...]]:
    """Shapes of these stages, (b, ..., c)."""
    return [x.aval.shape for x in _traced(model, variables, inputs).program.outvars[1:]]


@partial(jax.jit, static_argnums=(0, 1))
def _maps(model: nn.Module, stage: str | None, variables: Any, inputs: Any, target: Any) -> Array:
    traced = _traced(model, variables, inputs)
    variable, layout = _place(traced, stage)
    arguments = jax.tree.leaves((variables, inputs))

    def score(change: Array) -> tuple[Array, Array]:
        found = []

        def apply(equation: Any, values: list[Any]) -> list[Any]:
            outputs = programs.bind(equation, values)
            for i, out in enumerate(equation.outvars):
                if out is variable:
                    outputs[i] = outputs[i] + change
                    found.append(outputs[i])
            return outputs

        logits = programs.run(traced.program, traced.constants, arguments, apply)[0]
        return chosen(logits, target).sum(), found[0]

    zero = jnp.zeros(variable.aval.shape, variable.aval.dtype)
    gradient, activation = jax.grad(score, has_aux=True)(zero)
    weights, maps = (_laid_out(layout, x).astype(jnp.float32) for x in (gradient, activation))
    places = tuple(range(1, maps.ndim - 1))
    evidence = (weights.mean(places, keepdims=True) * maps).sum(axis=-1)
    shape = (*evidence.shape[:1], *inputs.shape[1:-1])
    return jax.image.resize(jax.nn.relu(evidence), shape, "bilinear")


def _traced(model: nn.Module, variables: Any, inputs: Any) -> Stages:
    """The network with its pyramid, which its own call computes and throws away."""
    pyramid: dict[str, Any] = {}

    def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        found = call(*args, **kwargs)
        if context.method_name == "features" and context.module.path == ():
            pyramid.update(found)
        return found

    def run(variables: Any, inputs: Any) -> Any:
        pyramid.clear()
        with nn.intercept_methods(watch):
            logits = model.apply(variables, inputs, train=False)
        return logits, [x for x in pyramid.values() if x.ndim == inputs.ndim]

    closed = jax.make_jaxpr(run)(variables, inputs)
    names = tuple(name for name, x in pyramid.items() if x.ndim == inputs.ndim)
    if not names:
        raise UsageError(
            f"Grad-CAM needs stages with places, and {type(model).__name__} has none for inputs of "
            f"shape {inputs.shape}; use `zoo.explain.occlusion`"
        )
    return Stages(closed.jaxpr, closed.consts, names)


def _place(traced: Stages, stage: str | None) -> tuple[Any, list[Any]]:
    """Variable of the program that holds a stage, and the equations that lay it out as a map."""
    outputs = traced.program.outvars
    made = {variable: e for e in traced.program.eqns for variable in e.outvars}
    read = _behind(made, outputs[0])
    index = len(traced.names) - 1
    if stage is not None:
        if stage not in traced.names:
            raise UsageError(
                f"`stage` must be one of {', '.join(traced.names)}; got {stage!r}"
                f"{closest(stage, traced.names)}"
            )
        index = traced.names.index(stage)
    elif outputs[1 + index] not in read:  # the logits read a token beside the map
        index = max(index - 1, 0)
    variable, layout = outputs[1 + index], []
    while variable not in read:
        equation = made.get(variable)
        if equation is None or equation.primitive.name not in _LAYOUT:
            raise UsageError(
                f"the logits do not depend on `stage` {traced.names[index]!r}; choose an earlier "
                f"one of {', '.join(traced.names)}"
            )
        layout.insert(0, equation)
        variable = equation.invars[0]
    return variable if stage or layout else _activated(traced, read, variable), layout


def _activated(traced: Stages, read: set[Any], variable: Any) -> Any:
    """What the logits read of the last stage: normed and rectified, if that comes after it."""
    made_of_it, last = {variable}, variable
    for equation in traced.program.eqns:
        if not made_of_it.isdisjoint(a for a in equation.invars if not isinstance(a, Literal)):
            made_of_it.update(equation.outvars)
            same = [v for v in equation.outvars if v.aval.shape == variable.aval.shape]
            last = next((v for v in same if v in read), last)
    return last


def _behind(made: dict[Any, Any], variable: Any) -> set[Any]:
    """All variables that one depends on, and itself."""
    found, waiting = set(), [variable]
    while waiting:
        variable = waiting.pop()
        if variable not in found and variable in made:
            waiting += [a for a in made[variable].invars if not isinstance(a, Literal)]
        found.add(variable)
    return found


def _laid_out(layout: list[Any], x: Array) -> Array:
    for equation in layout:
        (x,) = programs.bind(equation, [x])
    return x
