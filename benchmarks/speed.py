"""Times beside the references: `python -m benchmarks.speed [NAME ...]`, options with `--help`.

One process, all its cores, turns taken one by one, medians, of a forward pass in evaluation and
of a step of SGD on the cross entropy. The peers are timm and the authors' SReT in eager PyTorch,
and Keras on JAX (compiled as ours is); the extra `[reference]` installs them, FOLDER holds a copy
of github.com/szq0214/SReT. "init" is `zoo.init_variables` in a fresh process.

`--processor` is for a machine that does other work too: one core, and the processor's time in place
of the clock's. PyTorch's threads spin while they wait for each other, so that a second one that has
to share its core makes every wall time of PyTorch many times longer.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
import optax

import train
import zoo

LEARNING_RATE = 1e-3
Clock = Callable[[], float]


class Bench(NamedTuple):
    """One network against its peer; `repeats` turns of each kind."""

    peer: str
    batch: int = 8
    repeats: int = 9


BENCHES = {
    "resnet50": Bench("timm"),
    "inception_v3": Bench("timm"),
    "inception_v4": Bench("timm"),
    "tnt_s_patch16_224": Bench("timm"),
    "sret_t": Bench("sret"),
    "nasnetalarge": Bench("timm", batch=2),
    "nasnetamobile": Bench("keras"),
}


class Calls(NamedTuple):
    """A network as two calls without arguments, each of which returns when its work is done."""

    forward: Callable[[], Any]
    step: Callable[[], Any]


def ours(name: str, images: np.ndarray, labels: np.ndarray) -> Calls:
    """This project's network under jit, with the step that `zoo train` runs."""
    model = zoo.create_model(name)
    variables = zoo.init_variables(model, jax.random.key(0), images)
    optimizer = optax.sgd(LEARNING_RATE)
    state = train.create_state(variables, optimizer, key=jax.random.key(0))
    update = train.parallelize(train.make_train_step(model, optimizer), "jit")
    evaluate = jax.jit(lambda variables, images: model.apply(variables, images, train=False))
    held, batch = {"state": state}, {"input": images, "label": labels}

    def step() -> None:
        held["state"], metrics = update(held["state"], batch, held["state"].key)
        jax.block_until_ready((held["state"].trained, metrics))

    return Calls(lambda: jax.block_until_ready(evaluate(variables, images)), step)


def pytorch(network: Any, images: np.ndarray, labels: np.ndarray) -> Calls:
    """A PyTorch network, eager, on as many threads as cores."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE)
    x = torch.from_numpy(np.moveaxis(images, -1, 1).copy())
    y = torch.from_numpy(labels.astype(np.int64))

    def forward() -> None:
        network.eval()
        with torch.inference_mode():
            network(x)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()

    return Calls(forward, step)


def timm_network(name: str) -> Any:
    """The network of that name in timm."""
    # timm asks torchvision for transforms only; its compiled part may not load.
    sys.modules.setdefault(
        "torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations")
    )
    import timm

    return timm.create_model(name)


def sret_network(folder: str) -> Any:
    """SReT-T of the authors' repository."""
    timm_network("resnet18")  # brings timm in
    sys.path.insert(0, folder)
    import SReT  # pyright: ignore[reportMissingImports]

    return SReT.SReT_T(pretrained=False)


def keras_network(name: str, images: np.ndarray, labels: np.ndarray) -> Calls:
    """NASNetMobile of Keras on JAX, compiled."""
    import keras

    assert name == "nasnetamobile"
    network = keras.applications.NASNetMobile(weights=None, classifier_activation=None)
    fixed = [v.value for v in network.non_trainable_variables]
    held = {"params": [v.value for v in network.trainable_variables], "fixed": fixed}

    def loss(params: Any, fixed: Any, images: Any) -> Any:
        logits, fixed = network.stateless_call(params, fixed, images, training=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), fixed

    @jax.jit
    def update(params: Any, fixed: Any, images: Any) -> Any:
        (_, fixed), grads = jax.value_and_grad(loss, has_aux=True)(params, fixed, images)
        return [p - LEARNING_RATE * g for p, g in zip(params, grads, strict=True)], fixed

    @jax.jit
    def evaluate(params: Any, fixed: Any, images: Any) -> Any:
        return network.stateless_call(params, fixed, images, training=False)[0]

    def step() -> None:
        held["params"], held["fixed"] = update(held["params"], held["fixed"], jnp.asarray(images))
        jax.block_until_ready(held)

    def forward() -> None:
        jax.block_until_ready(evaluate(held["params"], fixed, jnp.asarray(images)))

    return Calls(forward, step)


def peer(name: str, images: np.ndarray, labels: np.ndarray, folder: str | None) -> Calls | None:
    """The reference implementation, or None if it is not at hand."""
    kind = BENCHES[name].peer
    if kind == "keras":
        return keras_network(name, images, labels)
    if kind == "sret" and folder is None:
        return None
    network = timm_network(name) if kind == "timm" else sret_network(str(folder))
    return pytorch(network, images, labels)


def seconds(call: Callable[[], Any], clock: Clock) -> float:
    """Time of one call."""
    start = clock()
    call()
    return clock() - start


def alternate(
    first: Callable[[], Any], second: Callable[[], Any] | None, repeats: int, clock: Clock
) -> Any:
    """What the very first call of `first` takes in addition, then medians of both by turns."""
    cold = seconds(first, clock)
    if second is not None:
        second()
    times: tuple[list[float], list[float]] = [], []
    for _ in range(repeats):
        times[0].append(seconds(first, clock))
        times[1].append(seconds(second, clock) if second is not None else float("nan"))
    mine, theirs = map(statistics.median, times)
    return cold - mine, mine, theirs


def init_seconds(name: str, clock: Clock) -> float:
    """`zoo.init_variables` in a process that has compiled nothing yet."""
    info = zoo.model_info(name)
    program = f"""
import time, jax, zoo
shape = jax.ShapeDtypeStruct((1, {info.image_size}, {info.image_size}, 3), "float32")
key, start = jax.random.key(0), time.{clock.__name__}()
jax.block_until_ready(zoo.init_variables(zoo.create_model({name!r}), key, shape))
print(time.{clock.__name__}() - start)
"""
    return float(subprocess.check_output([sys.executable, "-c", program]))


def row(name: str, folder: str | None, repeats: int | None, clock: Clock) -> str:
    """One line of the table."""
    bench, side = BENCHES[name], zoo.model_info(name).image_size
    rng = np.random.default_rng(0)
    images = rng.normal(size=(bench.batch, side, side, 3)).astype(np.float32)
    labels = rng.integers(0, 1000, bench.batch).astype(np.int32)
    init = init_seconds(name, clock)
    mine, theirs = ours(name, images, labels), peer(name, images, labels, folder)
    cells = []
    for kind in Calls._fields:
        other = None if theirs is None else getattr(theirs, kind)
        turns = repeats or bench.repeats
        compile_time, fast, slow = alternate(getattr(mine, kind), other, turns, clock)
        cells += [f"{fast:.3f}", f"{slow:.3f}", f"{slow / fast:.2f}", f"{compile_time:.1f}"]
    return " | ".join([f"| {name} | {bench.peer} | {bench.batch}", *cells, f"{init:.2f} |"])


def main() -> None:
    """Prints the table, in seconds; a ratio above one means that ours is the faster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks (default: all)")
    parser.add_argument("--sret", help="folder with SReT.py of the authors")
    parser.add_argument("--repeats", type=int, help="turns of each kind")
    parser.add_argument("--processor", action="store_true", help="processor time of one core")
    options = parser.parse_args()
    clock = time.process_time if options.processor else time.perf_counter
    if options.processor:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print("| network | peer | batch | forward | peer's | speed | compile | ", end="")
    print("step | peer's | speed | compile | init |\n|" + " --- |" * 12)
    for name in options.names or [n for n in BENCHES if n in zoo.list_models()]:
        print(row(name, options.sret, options.repeats, clock), flush=True)


if __name__ == "__main__":
    main()
