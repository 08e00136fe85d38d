"""This project's networks as calls, and the same with the convolutions of `flax.linen.Conv`."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import zoo
from train.bench.timing import Call, Calls
from train.compile import uncached
from train.state import create_state
from train.step import make_train_step
from zoo.layers.conv import Conv
from zoo.layers.windows import NHWC

LEARNING_RATE = 1e-3


def ours(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    dtype: Any = jnp.float32,
    linen: bool = False,
) -> Calls:
    """A network under jit, with the step that `zoo train` runs.

    Args:
        name: of the catalogue.
        images: a batch.
        labels: their classes.
        dtype: of the computation.
        linen: whether convolutions are computed as `flax.linen.Conv` does, to the same numbers.
    """
    model, key = zoo.create_model(name, dtype=dtype), jax.random.key(0)
    inputs = jnp.asarray(images)
    variables = zoo.init_variables(model, key, inputs)
    optimizer = optax.sgd(LEARNING_RATE)
    # What a step is given is gone: the forward pass keeps weights of its own.
    state = create_state(jax.tree.map(jnp.copy, variables), optimizer, key=jax.random.key(1))
    leaves, structure = jax.tree.flatten(state)
    take, held = make_train_step(model, optimizer), {"leaves": leaves}
    batch = {"input": inputs, "label": jnp.asarray(labels)}

    def on_leaves(leaves: Any, batch: Any, key: Any) -> Any:
        state, metrics = take(jax.tree.unflatten(structure, leaves), batch, key)
        return jax.tree.leaves(state), metrics

    forward = lambda variables, images: model.apply(variables, images, train=False)  # noqa: E731
    with nn.intercept_methods(plain_convolution) if linen else contextlib.nullcontext():
        evaluate, evaluating = compiled(jax.jit(forward), variables, inputs)
        update, updating = compiled(jax.jit(on_leaves, donate_argnums=0), leaves, batch, key)

    def step() -> None:
        held["leaves"], metrics = update(held["leaves"], batch, key)
        jax.block_until_ready((held["leaves"], metrics))

    return Calls(
        Call(lambda: jax.block_until_ready(evaluate(variables, inputs)), **evaluating),
        Call(step, **updating),
    )


def compiled(function: Any, *arguments: Any) -> tuple[Any, dict[str, Any]]:
    """A function compiled for its arguments; the seconds that takes and the bytes it needs."""
    start = time.perf_counter()
    with uncached():
        program = function.lower(*arguments).compile()
    seconds, size = time.perf_counter() - start, program.memory_analysis()
    memory = None
    if size is not None:
        memory = size.argument_size_in_bytes + size.output_size_in_bytes
        memory += size.temp_size_in_bytes - size.alias_size_in_bytes
    return program, {"compile_seconds": seconds, "memory": memory}


def plain_convolution(
    call: Callable[..., Any], arguments: Any, options: Any, context: nn.module.InterceptorContext
) -> Any:
    """Interceptor: our convolutions as one `conv_general_dilated`, 1×1 and depthwise ones too."""
    conv = context.module
    if not isinstance(conv, Conv) or context.method_name != "__call__":
        return call(*arguments, **options)
    if not conv.has_variable("params", "kernel"):
        return call(*arguments, **options)  # its parameters are being made
    x, kernel = arguments[0], conv.effective(conv.get_variable("params", "kernel"))
    given, pads = conv.padding, [(k - 1) // 2 for k in conv.kernel_size]
    if isinstance(given, int):
        pads = [given, given]
    y = jax.lax.conv_general_dilated(
        x.astype(conv.dtype),
        kernel.astype(conv.dtype),
        window_strides=(conv.stride, conv.stride),
        padding=given if isinstance(given, str) else [(p, p) for p in pads],
        rhs_dilation=(conv.dilation, conv.dilation),
        dimension_numbers=NHWC,
        feature_group_count=conv.groups,
    )
    if conv.use_bias:
        y = y + conv.get_variable("params", "bias").astype(conv.dtype)[None, None, None]
    return y
