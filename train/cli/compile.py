"""`zoo compile`."""

import dataclasses
from functools import partial
from typing import Any

from jax.sharding import Mesh

from train.blank import blank
from train.cli import runs
from train.cli.output import emit_json
from train.compile import Compiled, largest_batch, tpu_mesh
from train.config import Config
from train.data import Dataset
from train.dry_run import compiled
from train.mesh import make_mesh
from train.plan import check_batch, plan
from train.report import console, table
from train.roofline import roofline_seconds
from zoo.errors import UsageError

DEFAULT = Config(batch_size=256, dtype="bfloat16")


@dataclasses.dataclass(frozen=True)
class CompileArguments(runs.RunOptions):
    """Compiles a training step and says what a device needs for it; nothing is trained.

    The step is that of `zoo train` and `zoo finetune` with the same options; those of data, logs
    and checkpoints change nothing. For TPUs that are not here libtpu does it, on any machine (extra
    `tpu`):

        zoo compile resnet50 --topology v5e:4x4 --batch-size 4096
        zoo compile resnet152 --topology v5e:2x2 --largest-batch --set remat=true --optimizer lion
        zoo compile --weights tnt_s_patch16_224.in1k --lora 4 --topology v5e:1x1
        zoo compile resnet152 --topology v5e:4x4 --mesh fsdp=16
    """

    config: Config = DEFAULT
    topology: str | None = None
    """Kind and shape of a slice of TPUs, as in v5e:2x2; None is the devices of this machine."""
    largest_batch: bool = False
    """Find the largest batch that fits, to an eighth; begins with `--batch-size`."""
    num_classes: int | None = None
    """Classes; None is those of the architecture or of the weights."""
    json: bool = False
    """Print JSON, sizes in bytes and those of one device: model, devices, device, batch, dtype,
    parallel, mesh (devices along each axis), compile_seconds, state_and_batch, outputs,
    intermediate, program, memory, flops, traffic, hbm_bytes_per_image, temporary_bytes_per_image,
    flops_per_image, intensity (operations per byte), roofline_seconds (null where a device's peaks
    are not known), collectives, collective_bytes."""


ARGUMENTS = CompileArguments


def command(argv: list[str]) -> None:
    """`zoo compile`."""
    if argv and not argv[0].startswith("-"):
        argv = ["--model", *argv]
    arguments = runs.parse(CompileArguments, "compile", argv)
    if arguments.num_classes is not None and arguments.num_classes < 1:
        raise UsageError(f"`num_classes` must be positive, got {arguments.num_classes}")
    if arguments.largest_batch and not arguments.topology:
        raise UsageError(
            "`largest_batch` needs the memory of a TPU: add a topology, as in --topology "
            "v5e:2x2; on this machine's processors nothing is too large to be compiled"
        )
    data = blank(arguments.config, arguments.num_classes)
    topology, shape = arguments.topology, arguments.config.mesh
    mesh = tpu_mesh(topology, shape) if topology else make_mesh(shape)
    compiles = partial(_compiled, arguments.config, data, mesh)
    batch_size = arguments.config.batch_size
    if arguments.largest_batch:
        compiled = largest_batch(compiles, batch_size, mesh.size)
    else:
        compiled = compiles(batch_size)
    facts = _facts(arguments.config, compiled, mesh)
    if arguments.json:
        emit_json(facts)
    else:
        console().print(table(["", ""], [[n, _text(n, v)] for n, v in facts.items()]))


def _compiled(config: Config, data: Dataset, mesh: Mesh, images: int) -> Compiled:
    check_batch(config, images, mesh.size)
    planned = plan(dataclasses.replace(config, batch_size=images), data=(data, data))
    return compiled(planned, mesh)


def _facts(config: Config, compiled: Compiled, mesh: Mesh) -> dict[str, Any]:
    """What is shown, sizes in bytes and of one device."""
    kind = mesh.devices.flat[0].device_kind
    images = compiled.shape[0] // mesh.size
    return {
        "model": config.model or config.weights,
        "devices": mesh.size,
        "device": kind,
        "batch": list(compiled.shape),
        "dtype": config.dtype,
        "parallel": config.parallel,
        "mesh": dict(mesh.shape),
        "compile_seconds": compiled.seconds,
        "state_and_batch": compiled.arguments,
        "outputs": compiled.outputs,
        "intermediate": compiled.temporary,
        "program": compiled.code,
        "memory": compiled.memory,
        "flops": compiled.flops,
        "traffic": compiled.traffic,
        "hbm_bytes_per_image": compiled.traffic / images,
        "temporary_bytes_per_image": compiled.temporary / images,
        "flops_per_image": compiled.flops / images,
        "intensity": compiled.flops / max(compiled.traffic, 1.0),
        "roofline_seconds": roofline_seconds(kind, compiled.flops, compiled.traffic),
        "collectives": compiled.collectives,
        "collective_bytes": compiled.exchanged,
    }


def _text(name: str, value: Any) -> str:
    """A fact as a cell of the table."""
    match name:
        case "mesh":
            return ",".join(f"{axis}={count}" for axis, count in value.items())
        case "batch":
            return "x".join(map(str, value))
        case "compile_seconds":
            return f"{value:.1f}"
        case "state_and_batch" | "outputs" | "intermediate" | "program" | "memory" | "traffic":
            return f"{value / 2**20:,.1f} MiB"
        case "hbm_bytes_per_image" | "temporary_bytes_per_image" | "collective_bytes":
            return f"{value / 2**20:,.2f} MiB"
        case "flops" | "flops_per_image":
            return f"{value / 1e9:,.2f} GFLOP"
        case "intensity":
            return f"{value:,.1f} operations a byte"
        case "roofline_seconds":
            return "unknown" if value is None else f"{value * 1000:,.2f} ms"
        case "collectives":
            return ", ".join(f"{count} {kind}" for kind, count in value.items()) or "none"
    return str(value)
