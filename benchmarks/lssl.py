"""Time and memory of an LSSL layer against length: `python -m benchmarks.lssl [PLOT.png]`.

One forward and backward pass of the layer at batch 1, beside the same layer with its kernel made by
doubling, [B, A B, ..., A^(L-1) B], and beside a GRU of equal width. Memory is what XLA reserves
for temporaries; nothing has to be run to know it, so two settings are compiled only. Last, how long
a step of `lssl_smnist` takes early and late in a stream.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from zoo import create_model, init_variables
from zoo.lssl import state_space
from zoo.lssl.linear_state_space import LinearStateSpace

LENGTHS = tuple(4**n for n in range(4, 9))
WIDTH, STATES = 32, 32
MIB = 2**20


class Doubling(LinearStateSpace):
    """The layer with all of A^l B in memory at once."""

    def kernel(self, length: int) -> Array:
        """As in the authors' repository."""
        a, b = self.system()
        count = 1 << (length - 1).bit_length()
        columns = jax.vmap(lambda a, b: state_space.krylov(a, b[:, None], count)[0])(a, b)
        return state_space.matmul(self.C, columns[:, :length, :, 0].swapaxes(1, 2))


class Recurrent(nn.Module):
    """A GRU."""

    width: int
    state_size: int

    @nn.compact
    def __call__(self, u: Array, *, train: bool) -> Array:
        """All of its states, (b, l, h)."""
        states: Any = nn.RNN(nn.GRUCell(self.width, name="cell"), name="rnn")(u)
        return states


FORMS: dict[str, Callable[..., Any]] = {
    "LSSL": LinearStateSpace,
    "doubling": Doubling,
    "GRU": Recurrent,
}


def compiled(layer: Any, batch: int, length: int) -> tuple[Any, Callable[[], Any]]:
    """A compiled forward and backward pass, and what makes its arguments."""
    shape = (batch, length, layer.width)
    init = partial(layer.init, jax.random.key(0), train=False)
    if not isinstance(layer, Recurrent):
        init = partial(init_variables, layer, jax.random.key(0))
    short = jnp.zeros((1, 2, layer.width))
    variables = init(short)

    def loss(params: Any, u: Array) -> Array:
        y: Any = layer.apply({**variables, "params": params}, u, train=False)
        return jnp.mean(y**2)

    abstract = variables["params"], jax.ShapeDtypeStruct(shape, jnp.float32)
    step = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*abstract).compile()
    return step, lambda: (variables["params"], jnp.ones(shape))


def memory(step: Any) -> float:
    """MiB of temporaries."""
    return step.memory_analysis().temp_size_in_bytes / MIB


def seconds(step: Any, arguments: tuple[Any, ...]) -> float:
    """The faster of two passes, after one to warm up."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(step(*arguments))
        times.append(time.perf_counter() - start)
    return min(times[1:])


def compare() -> dict[str, list[tuple[float, float]]]:
    """Time and memory of each form at each length; prints a row each."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in FORMS}
    print(f"| L | {' | '.join(f'{n}: ms | MiB' for n in FORMS)} |")
    print("| --- " * (1 + 2 * len(FORMS)) + "|")
    for length in LENGTHS:
        for name, build in FORMS.items():
            step, arguments = compiled(build(width=WIDTH, state_size=STATES), 1, length)
            found[name].append((seconds(step, arguments()), memory(step)))
        cells = [f"{1e3 * found[n][-1][0]:.0f} | {found[n][-1][1]:.1f}" for n in FORMS]
        print(f"| {length:,} | {' | '.join(cells)} |", flush=True)
    return found


def limits() -> None:
    """Memory of two large settings, compiled only."""
    for name in ("LSSL", "doubling"):
        step, _ = compiled(FORMS[name](width=256, state_size=256), 1, 1024)
        print(f"{name}, N = H = 256, L = 1024: {memory(step):.0f} MiB", flush=True)
    for name in ("LSSL", "doubling"):
        layer = FORMS[name](width=256, state_size=128, channels=2)
        step, _ = compiled(layer, 4, 16_000)
        text = f"{name}, layer of lssl_speech, L = 16,000, batch 4"
        print(f"{text}: {memory(step):.0f} MiB", flush=True)


def stream() -> None:
    """Time of a step after no input and after many, in turns."""
    model = create_model("lssl_smnist")
    variables = init_variables(model, jax.random.key(0), jnp.zeros((1, 8, 1)))
    systems = model.apply(variables, method="systems")
    step: Any = jax.jit(partial(model.apply, method="step"))
    first: Any = model.apply(variables, 1, method="begin")
    pixel = jnp.ones((1, 1))
    later = first
    for _ in range(2_000):
        later, _ = step(variables, systems, later, pixel)
    times: dict[str, list[float]] = {"no input": [], "2,000 inputs": []}
    for _ in range(200):
        for past, state in zip(times, (first, later), strict=True):
            start = time.perf_counter()
            jax.block_until_ready(step(variables, systems, state, pixel))
            times[past].append(time.perf_counter() - start)
    for past, seconds in times.items():
        print(f"step of lssl_smnist after {past}: {1e3 * statistics.median(seconds):.2f} ms")


def plot(found: dict[str, list[tuple[float, float]]], path: str) -> None:
    """Both quantities against length, on logarithmic axes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for name, rows in found.items():
        for axis, values in zip(axes, zip(*rows, strict=True), strict=True):
            axis.loglog(LENGTHS, values, "o-", label=name)
    for axis, label in zip(axes, ("seconds", "MiB"), strict=True):
        axis.set(xlabel="length", ylabel=label)
    axes[0].legend()
    figure.savefig(path, dpi=100)


def main(path: str = "lssl.png") -> None:
    """Everything."""
    limits()
    plot(compare(), path)
    stream()


if __name__ == "__main__":
    main(*sys.argv[1:])
