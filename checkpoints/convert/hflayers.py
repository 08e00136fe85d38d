"""Options of the authors' library `hflayers`, github.com/ml-jku/hopfield-layers, as layers."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
from jaxtyping import Array

from zoo.errors import UsageError, closest
from zoo.layers.hopfield import Hopfield
from zoo.layers.hopfield_options import Convergence, Maps, Norm, Norms, Sizes

# Arguments of the library's `Hopfield` and their defaults.
DEFAULTS: Mapping[str, Any] = {
    "input_size": None,
    "hidden_size": None,
    "output_size": None,
    "pattern_size": None,
    "num_heads": 1,
    "scaling": None,
    "update_steps_max": 0,
    "update_steps_eps": 1e-4,
    "normalize_stored_pattern": True,
    "normalize_stored_pattern_affine": True,
    "normalize_stored_pattern_eps": 1e-5,
    "normalize_state_pattern": True,
    "normalize_state_pattern_affine": True,
    "normalize_state_pattern_eps": 1e-5,
    "normalize_pattern_projection": True,
    "normalize_pattern_projection_affine": True,
    "normalize_pattern_projection_eps": 1e-5,
    "normalize_hopfield_space": False,
    "normalize_hopfield_space_affine": False,
    "normalize_hopfield_space_eps": 1e-5,
    "stored_pattern_as_static": False,
    "state_pattern_as_static": False,
    "pattern_projection_as_static": False,
    "pattern_projection_as_connected": False,
    "stored_pattern_size": None,
    "pattern_projection_size": None,
    "batch_first": True,
    "association_activation": None,
    "dropout": 0.0,
    "input_bias": True,
    "concat_bias_pattern": False,
    "add_zero_association": False,
    "disable_out_projection": False,
}
# Roles of patterns, and what the library calls them.
ROLES = {"stored": "stored_pattern", "state": "state_pattern", "projection": "pattern_projection"}
NO_COUNTERPART = {
    "batch_first": "everything is batch first; swap the first two axes of what comes in and out",
    "concat_bias_pattern": "the library never reads the biases that it makes; leave it out, and "
    "`bias_k` and `bias_v` of its weights",
}
# What `getattr(torch, name, None)` does not find, and the library then leaves out.
NOT_IN_TORCH = (
    *("elu", "gelu", "glu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid"),
    *("mish", "relu6", "silu", "softplus", "softsign", "swish", "tanhshrink"),
)


def from_library(**options: Any) -> Hopfield:
    """The layer that `hflayers.Hopfield(**options)` is, for the library's weights.

    It stops a batch together, as the library does; where the library has no limit, updates end
    after 64. Defects of the library are left out; `zoo.layers.hopfield` lists them.

    >>> from checkpoints.convert.hopfield import from_library
    >>> layer = from_library(input_size=8, num_heads=2, scaling=0.25, update_steps_max=3)
    >>> layer.heads, layer.beta, layer.steps
    (2, 0.25, 3)

    Args:
        **options: arguments of the library's constructor; what is not given has its default there.
            What differs between heads is a list or an array. An `association_activation` that is
            not in `torch` itself, as in "gelu", does nothing, as there.

    Raises:
        UsageError: an option is unknown, or has no counterpart.
    """
    for name, value in options.items():
        if name not in DEFAULTS:
            near = closest(name, DEFAULTS)
            raise UsageError(f"`Hopfield` of the library has no option `{name}`{near}")
        if name in NO_COUNTERPART and value != DEFAULTS[name]:
            raise UsageError(f"`{name}={value}` has no counterpart: {NO_COUNTERPART[name]}")
    given = {**DEFAULTS, **options}
    activation = given["association_activation"]
    return Hopfield(
        input_size=given["input_size"],
        hidden_size=given["hidden_size"],
        heads=given["num_heads"],
        beta=None if given["scaling"] is None else _numbers(given["scaling"], float),
        steps=_numbers(given["update_steps_max"], _steps),
        convergence=Convergence(_numbers(given["update_steps_eps"], float), stop="batch"),
        sizes=Sizes(
            stored=given["stored_pattern_size"],
            projection=given["pattern_projection_size"],
            pattern=given["pattern_size"],
            output=given["output_size"],
        ),
        norms=Norms(
            **{role: _norm(given, theirs) for role, theirs in ROLES.items()},
            space=_norm(given, "hopfield_space"),
        ),
        maps=Maps(
            static=tuple(role for role, theirs in ROLES.items() if given[f"{theirs}_as_static"]),
            connected=given["pattern_projection_as_connected"],
            use_bias=given["input_bias"],
            use_out=not given["disable_out_projection"],
        ),
        zero_association=given["add_zero_association"],
        activation=None if activation in (None, *NOT_IN_TORCH) else function(activation),
        dropout=float(given["dropout"]),
    )


def function(name: str) -> Callable[[Array], Array]:
    """The function that PyTorch calls `torch.NAME`.

    Raises:
        UsageError: there is none in JAX.
    """
    plain = name.removesuffix("_")  # in place, or not
    other = {
        "neg": jnp.negative,
        "frac": lambda x: x - jnp.trunc(x),
        "hardshrink": lambda x: jnp.where(jnp.abs(x) > 0.5, x, 0),
        "rsqrt": jax.lax.rsqrt,
        "sgn": jnp.sign,
    }
    for place in (jax.nn, jnp, jax.scipy.special):
        if plain in other or hasattr(place, plain):
            return other.get(plain) or getattr(place, plain)
    raise UsageError(
        f"`association_activation={name}` has no counterpart: no function is known for torch.{name}"
    )


def _norm(given: Mapping[str, Any], name: str) -> Norm | None:
    if not given[f"normalize_{name}"]:
        return None
    return Norm(given[f"normalize_{name}_affine"], given[f"normalize_{name}_eps"])


def _numbers(value: Any, kind: Callable[[Any], Any]) -> Any:
    """One number, or one per head as a tuple."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(kind, value)) if isinstance(value, list | tuple) else kind(value)


def _steps(count: int | None) -> int | None:
    """A negative number of updates means, as None does, until they converge."""
    return None if count is None or count < 0 else int(count)
