"""What a training step reads and writes on a TPU, by kind of operation, as its compiler plans it.

    python -m benchmarks.traffic resnet50 --topology v5e:2x4 --per-device 128 [--text FILE]

No TPU is needed, but libtpu is (`pip install -e ".[tpu]"`, best in an environment of its own). The
network computes in bfloat16, the batch is normalised as a whole, the update is SGD with momentum.
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import optax

import zoo
from train.compile import compile_step, nbytes, tpu_mesh

# What moves arrays between the memories of a device, or says where they are.
MOVES = ("copy-start", "copy-done", "slice-start", "slice-done", "custom-call", "async-done")
NOTHING = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", *MOVES)
INSTRUCTION = re.compile(r"\s+(?:ROOT )?%([\w.\-]+) = (.*?) ([\w\-]+)\((.*?)\)(?:,|$)")


class Operation(NamedTuple):
    """An operation of the program's outermost level."""

    kind: str
    read: int
    written: int


def operations(text: str) -> Iterator[Operation]:
    """The operations of a compiled program, from its text."""
    computations, entry = _computations(text)
    sizes: dict[str, int] = {}
    for line in computations[entry]:
        if (found := INSTRUCTION.match(line)) is None:
            continue
        name, result, operation, arguments = found.groups()
        sizes[name] = nbytes(result)
        if operation in NOTHING:
            continue
        read = sum(sizes.get(a, 0) for a in re.findall(r"%([\w.\-]+)", arguments))
        yield Operation(_kind(line, operation, computations), read, sizes[name])


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Lines of every computation by name, and the name of the outermost."""
    computations: dict[str, list[str]] = {}
    name = entry = ""
    for line in text.splitlines():
        if found := re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            name = found[2]
            entry = name if found[1] else entry
            computations[name] = []
        elif name and line.startswith("  "):
            computations[name].append(line)
    return computations, entry


def _kind(line: str, operation: str, computations: Mapping[str, list[str]]) -> str:
    body = " ".join([line, *_called(line, computations)])
    backward = "transpose(" in line
    if " convolution(" in body:
        return f"convolutions and products, {'backward' if backward else 'forward'}"
    if "reduce-window" in body or "select-and-scatter" in body:
        return "pooling"
    if operation.startswith("all-reduce"):
        return "all-reduces"
    if "jvp(" not in line:
        return "update, metrics and copies"
    return "sums alone" if " reduce(" in body else "maps alone (norms, sums of branches, ReLU)"


def _called(line: str, computations: Mapping[str, list[str]]) -> Iterator[str]:
    for name in re.findall(r"calls=%([\w.\-]+)", line):
        for inner in computations.get(name, ()):
            yield inner
            yield from _called(inner, computations)


def main() -> None:
    """Compiles one step and prints its ledger, in megabytes an image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--per-device", type=int, default=128, help="images")
    parser.add_argument("--text", type=Path, help="where to write the program")
    arguments = parser.parse_args()
    mesh = tpu_mesh(arguments.topology)
    images = arguments.per_device
    compiled = compile_step(
        zoo.create_model(arguments.model, dtype=jnp.bfloat16),
        optax.sgd(0.1, momentum=0.9),
        (images * mesh.size, *zoo.model_info(arguments.model).input_shape),
        mesh=mesh,
    )
    text = compiled.program.as_text() or ""
    if arguments.text:
        arguments.text.write_text(text)
    per_image = 1e6 * images
    print(f"traffic by the compiler's analysis {compiled.traffic / per_image:.1f} MB an image")
    print(f"temporaries {compiled.temporary / per_image:.1f} MB an image")
    print(f"operations {compiled.flops / 1e9 / images:.2f} GFLOP an image")
    print(f"exchanges {compiled.collectives}, {compiled.exchanged / 1e6:.1f} MB a step")
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for operation in operations(text):
        for i, n in enumerate((1, operation.read, operation.written)):
            totals[operation.kind][i] += n
    for kind, (count, *moved) in sorted(totals.items(), key=lambda item: -sum(item[1][1:])):
        read, written = (n / per_image for n in moved)
        print(f"| {kind} | {count} | {read:.1f} | {written:.1f} | {read + written:.1f} |")


if __name__ == "__main__":
    main()
