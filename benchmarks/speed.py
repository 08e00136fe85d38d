"""Times beside the references: `python -m benchmarks.speed [NAME ...]`, options with `--help`.

One process, all its cores, turns taken one by one, medians, of a forward pass in evaluation and
of a step of SGD on the cross entropy, as `zoo bench` takes them. The peers are timm and the
authors' SReT in eager PyTorch, and Keras on JAX (compiled as ours is); the extra `[reference]`
installs them, FOLDER holds a copy of github.com/szq0214/SReT. "init" is `zoo.init_variables` in a
fresh process.

`--processor` is for a machine that does other work too: one core, and the processor's time in place
of the clock's. PyTorch's threads spin while they wait for each other, so that a second one that has
to share its core makes every wall time of PyTorch many times longer.
"""

import argparse
import os
import subprocess
import sys
import time
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np

import zoo
from train.bench import compare, peers
from train.bench.ours import ours
from train.bench.timing import Calls, Clock


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


def sret_network(folder: str) -> Any:
    """SReT-T of the authors' repository."""
    peers.timm_network("resnet18")  # brings timm in
    sys.path.insert(0, folder)
    import SReT  # pyright: ignore[reportMissingImports]

    return SReT.SReT_T(pretrained=False)


def peer(name: str, images: np.ndarray, labels: np.ndarray, folder: str | None) -> Calls | None:
    """The reference implementation, or None if it is not at hand."""
    kind = BENCHES[name].peer
    if kind != "sret":
        return peers.PEERS[kind](name, images, labels)
    return None if folder is None else peers.pytorch(sret_network(folder), images, labels)


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
    bench = BENCHES[name]
    batch = compare.batch_of(name, bench.batch)
    init = init_seconds(name, clock)
    found = compare.compare(
        ours(name, *batch), peer(name, *batch, folder), repeats or bench.repeats, clock
    )
    cells = []
    for figures in found.values():
        theirs = figures.get("peer_seconds", float("nan"))
        speed = theirs / figures["seconds"]
        cells += [f"{figures['seconds']:.3f}", f"{theirs:.3f}", f"{speed:.2f}"]
        cells.append(f"{figures['compile_seconds']:.1f}")
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
