"""A traced function without its choices by platform, and with its constants computed.

Layers choose between forms of the same numbers by the platform (`zoo.layers.windows`), and some
carry derivatives of their own. What leaves the project holds neither: one form, which every
compiler knows, of standard operations. And whatever does not depend on the arguments is computed
here, once: scales of norms, kernels in another dtype, the solves that make the kernels of LSSL.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import Tracer
from jax.extend import core
from jaxtyping import Array

# Calls that are replaced by what they call, and the parameter that holds it.
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat": "jaxpr",
    "checkpoint": "jaxpr",
}


def plain(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The same function of one array, whose trace is the plain form."""

    def traced(x: Array) -> Array:
        program = jax.make_jaxpr(function)(x)
        return _evaluate(program.jaxpr, program.consts, [x])[0]

    return traced


def _evaluate(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))
    read = lambda v: v.val if isinstance(v, core.Literal) else known[v]  # noqa: E731
    for equation in jaxpr.eqns:
        found = _apply(equation, [read(v) for v in equation.invars])
        known.update(zip(equation.outvars, found, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _apply(equation: Any, values: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name == "platform_index":
        return [None]  # read by the choice alone
    if params.get("branches_platforms"):
        return _called(params["branches"][params["branches_platforms"].index(None)], values[1:])
    if name in CALLS:
        return _called(params[CALLS[name]], values)
    if not values or any(map(_waits, [*values, *equation.outvars])):
        return _bound(equation, values)
    with jax.ensure_compile_time_eval():
        return _bound(equation, values)


def _waits(value: Any) -> bool:
    """Whether a value, or a variable, is known only when the program runs: its size counts too."""
    shape = getattr(getattr(value, "aval", value), "shape", ())
    return isinstance(value, Tracer) or not all(isinstance(side, int) for side in shape)


def _called(program: Any, values: Sequence[Any]) -> list[Any]:
    """What a program gives; one without constants may stand alone."""
    closed = hasattr(program, "jaxpr")
    return _evaluate(program.jaxpr if closed else program, program.consts if closed else (), values)


def _bound(equation: Any, values: Sequence[Any]) -> list[Any]:
    """The primitive applied, with programs such as the body of a loop made plain too."""
    params = {name: _plain_inside(value) for name, value in equation.params.items()}
    found = equation.primitive.bind(*values, **params)
    return list(found) if equation.primitive.multiple_results else [found]


def _plain_inside(value: Any) -> Any:
    if isinstance(value, tuple) and value and all(isinstance(v, core.ClosedJaxpr) for v in value):
        return tuple(map(_plain_inside, value))
    if not isinstance(value, core.ClosedJaxpr):
        return value
    types = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in value.in_avals]
    return jax.make_jaxpr(lambda *values: _called(value, values))(*types)
