"""A traced function as a program that can be run with other rules: how to look inside a network.

https://docs.jax.dev/en/latest/notebooks/Writing_custom_interpreters_in_Jax.html
"""

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend.core import Literal

Apply = Callable[[Any, list[Any]], Sequence[Any]]
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_CALLS = ("jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint")
_CUSTOM = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")


def run(program: Any, constants: Sequence[Any], arguments: Sequence[Any], apply: Apply) -> list:
    """Runs a program, each of its equations by `apply`.

    Args:
        program: a jaxpr.
        constants: values of its constants.
        arguments: values of its inputs.
        apply: (equation, values of its inputs) -> values of its outputs.
    """
    known = dict(zip(program.constvars, constants, strict=True))
    known |= dict(zip(program.invars, arguments, strict=True))
    read = lambda atom: atom.val if isinstance(atom, Literal) else known[atom]  # noqa: E731
    for equation in program.eqns:
        values = apply(equation, [read(atom) for atom in equation.invars])
        known |= dict(zip(equation.outvars, values, strict=True))
    return [read(atom) for atom in program.outvars]


def bind(equation: Any, values: Sequence[Any]) -> list[Any]:
    """An equation as it stands."""
    found = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return list(found) if equation.primitive.multiple_results else [found]


def body(equation: Any) -> tuple[Any, Sequence[Any], int] | None:
    """Program and constants inside an equation that calls one, and how many of its inputs to skip.

    None for an operation, and for a loop or a branch that depends on numbers. Of branches that are
    for platforms, the one for CPUs: all have the same results.
    """
    name, params = equation.primitive.name, equation.params
    if name in (*_CALLS, *_CUSTOM):
        inner = next(params[key] for key in _BODIES if key in params)
        return (*_parts(inner), 0)
    platforms = params.get("branches_platforms") if name == "cond" else None
    if platforms:
        index = next((i for i, names in enumerate(platforms) if "cpu" in (names or ())), -1)
        return (*_parts(params["branches"][index]), 1)
    return None


def is_custom(equation: Any) -> bool:
    """Whether an equation brings a derivative of its own."""
    return equation.primitive.name in _CUSTOM


def operations(program: Any) -> set[str]:
    """Names of all operations of a program, also inside calls."""
    found = set()
    for equation in program.eqns:
        inside = body(equation)
        found |= operations(inside[0]) if inside else {equation.primitive.name}
    return found


def _parts(inner: Any) -> tuple[Any, Sequence[Any]]:
    return (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ())
