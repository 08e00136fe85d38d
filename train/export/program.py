"""A network as one function of a batch, and that function as StableHLO."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from checkpoints import installation
from checkpoints.pretrained import Pretrained
from train.export import pixels
from train.export.plain import plain
from zoo.errors import UsageError

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def forward(
    model: nn.Module, variables: Mapping[str, Any], prepare: Callable[[Array], Array] | None = None
) -> Callable[[Array], Array]:
    """Outputs in float32 of a batch, raw if `prepare` is given."""

    def outputs(x: Array) -> Array:
        x = x if prepare is None else prepare(x)
        return model.apply(variables, x, train=False).astype(jnp.float32)  # pyright: ignore[reportAttributeAccessIssue]

    return outputs


def program_of(
    loaded: Pretrained, *, preprocess: bool = False, input_size: tuple[int, int] | None = None
) -> tuple[Callable[[Array], Array], tuple[int, ...], Any]:
    """The function of loaded weights, the shape of one example that it takes, and its dtype."""
    if not preprocess:
        if input_size is not None:
            raise UsageError("`input_size` is of raw images: add `preprocess`")
        return forward(loaded.model, loaded.variables), loaded.preprocess.shape, jnp.float32
    prepare = pixels.preparing(loaded.preprocess, input_size)
    shape = pixels.raw_shape(loaded.preprocess, input_size)
    dtype = jnp.uint8 if len(shape) == 3 else jnp.float32
    return forward(loaded.model, loaded.variables, prepare), shape, dtype


def stablehlo(
    function: Callable[[Array], Array],
    shape: Sequence[int],
    dtype: Any = jnp.float32,
    *,
    platforms: Sequence[str] = ("cpu",),
) -> bytes:
    """A function of a batch of any size as a file of `jax.export`; its weights are in it.

    Products of float32 are those of float32 on every platform, where GPUs and TPUs by default round
    their factors; bfloat16 is what is fast there.

    Args:
        function: of one array.
        shape: of one example.
        dtype: of the examples.
        platforms: which it can run on, of `PLATFORMS`.

    Raises:
        UsageError: no such platform, or flatbuffers is not installed.
    """
    if unknown := [name for name in platforms if name not in PLATFORMS] or not platforms:
        raise UsageError(f"`platforms` must be some of {', '.join(PLATFORMS)}, got {unknown}")
    if find_spec("flatbuffers") is None:
        raise UsageError(f"StableHLO is written by flatbuffers: {installation.command('export')}")
    batch = jax.export.symbolic_shape("b")[0]
    examples = jax.ShapeDtypeStruct((batch, *shape), dtype)
    with jax.default_matmul_precision("highest"):
        exported = jax.export.export(jax.jit(plain(function)), platforms=platforms)(examples)
    return bytes(exported.serialize())
