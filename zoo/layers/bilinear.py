r"""Bilinear functions whose gradients have fast forms of their own.

A function f that is linear in x and in y has the derivative

.. math:: \mathrm d f(x, y) = f(\mathrm d x, y) + f(x, \mathrm d y)

and one transpose with respect to each. JAX finds both by itself; where it finds slow ones, a
`Bilinear` gives better ones. Forward mode, reverse mode and every mixture of the two go through
it, as do `vmap`, `shard_map` and meshes. A program without derivatives holds nothing but the plain
function.
"""

import functools
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

Mapped = tuple[tuple[bool, bool], ...]  # for each `vmap`, innermost first: is x mapped, is y?


class Bilinear(NamedTuple):
    """A bilinear function and its transposes; `options` are the same hashable ones for all three.

    Attributes:
        function: (x, y, *options) -> f(x, y).
        to_left: (cotangent, y, like_x, *options) -> the cotangent of x.
        to_right: (cotangent, x, like_y, *options) -> the cotangent of y.
    """

    function: Callable[..., Array]
    to_left: Callable[..., Array]
    to_right: Callable[..., Array]

    def __call__(self, x: Array, y: Array, *options: Hashable) -> Array:
        """f(x, y)."""
        return _plain(self, options, x, y)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _plain(forms: Bilinear, options: tuple[Hashable, ...], x: Array, y: Array) -> Array:
    return forms.function(x, y, *options)


def _derivative(forms: Bilinear, options: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x, y), (dx, dy) = primals, tangents
    value = forms.function(x, y, *options)
    pairs = [(dx, y)] * (not isinstance(dx, SymbolicZero))
    pairs += [(x, dy)] * (not isinstance(dy, SymbolicZero))
    parts = [_bind(*_varying_alike(*pair), forms, options, ()) for pair in pairs]
    return value, functools.reduce(jnp.add, parts) if parts else jnp.zeros_like(value)


_plain.defjvp(_derivative, symbolic_zeros=True)


def _varying_alike(x: Array, y: Array) -> tuple[Array, Array]:
    """Both as different on each device as one of them is, which JAX's own operations do too."""
    varying = [jax.typeof(v).manual_axis_type.varying for v in (x, y)]
    missing = [tuple(sorted(frozenset.union(*varying) - axes)) for axes in varying]
    both = zip((x, y), missing, strict=True)
    x, y = (jax.lax.pcast(v, axes, to="varying") if axes else v for v, axes in both)
    return x, y


def _bind(x: Array, y: Array, forms: Bilinear, options: Any, mapped: Mapped) -> Array:
    return bilinear_p.bind(x, y, forms=forms, options=options, mapped=mapped)


def _apply(x: Array, y: Array, forms: Bilinear, options: Any, mapped: Mapped) -> Array:
    function = lambda x, y: forms.function(x, y, *options)  # noqa: E731
    for axes in mapped:
        function = jax.vmap(function, in_axes=[0 if axis else None for axis in axes])
    return function(x, y)


@functools.lru_cache(maxsize=4096)
def _type(x: Any, y: Any, **params: Any) -> Any:
    return jax.make_jaxpr(partial(_compiled, **params))(x, y).out_avals[0]


def _transpose(side: int, cotangent: Array, x: Any, y: Any, **params: Any) -> Array:
    """The cotangent of x (side 0) or y (side 1), summed where only the other one is mapped."""
    forms, options, mapped = params["forms"], params["options"], params["mapped"]
    aval, other = (x.aval, y) if side == 0 else (y.aval, x)
    like = _without_leading(aval, sum(axes[side] for axes in mapped))
    to_side = (forms.to_left, forms.to_right)[side]
    back = lambda cotangent, other: to_side(cotangent, other, like, *options)  # noqa: E731
    for axes in mapped:
        back = jax.vmap(back, in_axes=(0, 0 if axes[1 - side] else None))
        back = back if axes[side] else partial(_summed, back)
    return back(cotangent, other)


def _without_leading(aval: Any, count: int) -> jax.ShapeDtypeStruct:
    """The type of one of what is mapped, with its place on a mesh."""
    spec = PartitionSpec(*aval.sharding.spec[count:])
    return jax.ShapeDtypeStruct(
        aval.shape[count:],
        aval.dtype,
        sharding=NamedSharding(aval.sharding.mesh, spec),
        manual_axis_type=aval.manual_axis_type,
    )


def _summed(back: Callable[..., Array], *arguments: Array) -> Array:
    return back(*arguments).sum(axis=0)


def _batch(arguments: Any, dims: Any, **params: Any) -> tuple[Array, int]:
    x, y = (v if d is None else jnp.moveaxis(v, d, 0) for v, d in zip(arguments, dims, strict=True))
    mapped = (*params["mapped"], (dims[0] is not None, dims[1] is not None))
    return _bind(x, y, params["forms"], params["options"], mapped), 0


_compiled = jax.jit(_apply, static_argnames=("forms", "options", "mapped"))
bilinear_p = Primitive("bilinear")
bilinear_p.def_impl(_compiled)
bilinear_p.def_abstract_eval(_type)
mlir.register_lowering(bilinear_p, mlir.lower_fun(_compiled, multiple_results=False))
ad.defbilinear(bilinear_p, partial(_transpose, 0), partial(_transpose, 1))
batching.primitive_batchers[bilinear_p] = _batch
