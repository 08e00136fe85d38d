"""`zoo export`."""

import dataclasses
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

import checkpoints
from checkpoints import atomic, paths
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.export import check, program
from train.report import console, table
from zoo.errors import UsageError, printable


@dataclasses.dataclass(frozen=True)
class ExportArguments:
    """Writes weights as a program that needs nothing of this project, for a batch of any size.

    Before the file appears it is run in a process without Flax and without this project, at
    batches of 1, 3 and 17, and compared with the network: to 1e-5 of the largest output in
    float32, to 2e-2 in bfloat16.

        zoo export --weights tf_efficientnet_lite0.pip_in1k --out lite0.stablehlo
        zoo export --weights runs/mine --platforms cpu cuda tpu --preprocess --out mine.stablehlo

    What is written is read by jax alone (and flatbuffers):

        program = jax.export.deserialize(bytearray(open("lite0.stablehlo", "rb").read()))
        logits = jax.jit(program.call)(images)
    """

    weights: str
    """A name of `zoo weights`, a run, or a checkpoint directory."""
    out: str
    """File to write; one that is there is replaced once the new one has been checked."""
    format: Literal["stablehlo"] = "stablehlo"
    """StableHLO as `jax.export` writes it, the weights included."""
    platforms: tuple[str, ...] = ("cpu",)
    """Where the program can run, all of one file: cpu, cuda, rocm, tpu."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; float32 is float32 on GPUs and TPUs too, and bfloat16 is fast there."""
    preprocess: bool = False
    """Take uint8 images (batch, height, width, channels) and resize, crop and normalise them in
    the program, to the same bits as Pillow; else it takes what `loaded.preprocess` returns. Files,
    EXIF orientation, transparency and the conversion of grey to RGB stay outside."""
    input_size: tuple[int, int] | None = None
    """Height and width of these images; None is the size that is cropped and not resized."""
    json: bool = False
    """Print JSON: weights, file, bytes, input, input_dtype, output, platforms, dtype, error,
    trace_seconds, load_seconds, first_seconds and call_seconds (by batch), memory (bytes)."""


ARGUMENTS = ExportArguments


def command(argv: list[str]) -> None:
    """`zoo export`."""
    arguments = parse(ExportArguments, "export", argv)
    check.require_platform(arguments.platforms)
    out = paths.local(arguments.out)
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise UsageError(f"`--out` must be a file in a directory that exists, got {str(out)!r}")
    facts = _export(arguments, out)
    if arguments.json:
        return emit_json(facts)
    rows = [[name.replace("_", " "), _text(name, value)] for name, value in facts.items()]
    console().print(table(["", ""], rows, numbers=False))
    return None


def _export(arguments: ExportArguments, out: Path) -> dict[str, Any]:
    """Traces, checks and keeps a program; a check that fails leaves nothing."""
    loaded = checkpoints.load(arguments.weights, dtype=arguments.dtype)
    function, shape, kind = program.program_of(
        loaded, preprocess=arguments.preprocess, input_size=arguments.input_size
    )
    begun = time.perf_counter()
    content = program.stablehlo(function, shape, kind, platforms=arguments.platforms)
    seconds = time.perf_counter() - begun
    inputs = check.examples(shape, kind)
    answers = check.expected(loaded, inputs, raw=arguments.preprocess)
    partial = atomic.partial_name(out, atomic.this_process())
    try:
        partial.write_bytes(content)
        tolerance = check.allowed(loaded, arguments.dtype)
        found = check.checked(partial, inputs, answers, tolerance)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return {
        "weights": arguments.weights,
        "file": str(out),
        "bytes": len(content),
        "input": ["b", *shape],
        "input_dtype": np.dtype(kind).name,
        "output": ["b", *answers.shape[1:]],
        "platforms": list(arguments.platforms),
        "dtype": arguments.dtype,
        "error": found.error,
        "trace_seconds": seconds,
        "load_seconds": found.seconds["load"],
        "first_seconds": found.seconds["first"],
        "call_seconds": found.seconds["again"],
        "memory": found.seconds["memory"],
    }


def _text(name: str, value: Any) -> str:
    """A fact as a cell of the table."""
    match name:
        case "bytes" | "memory":
            return f"{value / 2**20:,.1f} MiB"
        case "input" | "output":
            return "x".join(map(str, value))
        case "error":
            return f"{value:.1e} of the largest output"
        case "first_seconds" | "call_seconds":
            return ", ".join(f"{seconds:.3f} (batch {size})" for size, seconds in value.items())
        case "trace_seconds" | "load_seconds":
            return f"{value:.2f}"
        case "platforms":
            return ", ".join(value)
    return printable(str(value))
