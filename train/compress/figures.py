"""What a network costs: bytes, multiply-adds, milliseconds."""

import statistics
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import checkpoints
from train.compress.method import stored_bytes
from train.data import Dataset
from train.evaluation import evaluate
from zoo.cost import count_macs

RUNS = 20  # timed passes, after one that compiles


class Figures(NamedTuple):
    """What a network costs and is worth.

    Attributes:
        bytes: of its numbers as they are stored, batch statistics included.
        macs: multiply-adds of one example.
        latency_ms: milliseconds of one example on this machine's CPU, the median of some passes.
        metrics: of an evaluation, or nothing.
    """

    bytes: int
    macs: int
    latency_ms: float
    metrics: dict[str, float | int]


def figures(loaded: checkpoints.Pretrained, data: Dataset | None) -> Figures:
    """The figures of a network.

    Args:
        loaded: the network.
        data: what its accuracy is measured on; None for no accuracy.
    """
    shape = loaded.preprocess.shape
    options: Any = {"preprocess": loaded.preprocess}
    return Figures(
        bytes=stored_bytes(loaded.variables, loaded.card),
        macs=count_macs(loaded.model, shape, variables=loaded.variables),
        latency_ms=latency(loaded, shape),
        metrics={} if data is None else evaluate(loaded.model, loaded.variables, data, **options),
    )


def latency(loaded: checkpoints.Pretrained, shape: tuple[int, ...]) -> float:
    """Milliseconds of one example on the CPU: the median of some passes, compiled before."""
    cpu = jax.local_devices(backend="cpu")[0]
    variables, inputs = jax.device_put((loaded.variables, jnp.zeros((1, *shape))), cpu)
    seconds = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        jax.block_until_ready(_forward(loaded.model, variables, inputs))
        seconds.append(time.perf_counter() - begun)
    return round(1000 * statistics.median(seconds[1:]), 4)


@partial(jax.jit, static_argnums=0)
def _forward(model: Any, variables: Any, inputs: Any) -> Any:
    return model.apply(variables, inputs, train=False)
