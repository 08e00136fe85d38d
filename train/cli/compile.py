"""`zoo compile`."""

import dataclasses
from functools import partial
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax.numpy as jnp
import tyro
from jax.sharding import Mesh

import zoo
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.compile import Compiled, compile_step, largest_batch, tpu_mesh
from train.config import OptimizerConfig, Parallel
from train.network import fixed_size
from train.optimizer import make_optimizer
from train.parallel import data_mesh
from train.report import console, table
from train.roofline import roofline_seconds
from zoo.errors import UsageError

STEPS = 1000  # of the schedule, which is a part of the step but takes no memory


@dataclasses.dataclass(frozen=True)
class CompileArguments:
    """Compiles a training step and says what a device needs for it; nothing is trained.

    For TPUs that are not here libtpu does it, on any machine (extra `tpu`):

        zoo compile resnet50 --topology v5e:4x4 --batch-size 4096
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Architecture, as in `zoo list`."""
    topology: str | None = None
    """Kind and shape of a slice of TPUs, as in v5e:2x2; None is the devices of this machine."""
    batch_size: int = 256
    """Images per step, over all devices."""
    largest_batch: bool = False
    """Find the largest batch that fits, to an eighth; begins with `--batch-size`."""
    image_size: int | None = None
    """Side of the images in pixels; None is that of the architecture."""
    num_classes: int | None = None
    """Classes; None is those of the architecture."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Dtype of the computation; parameters stay float32."""
    optimizer: str = "adamw"
    """Update rule, as of `zoo train`; its state is a part of the memory."""
    ema: bool = False
    """Keep a moving average of the parameters too."""
    accumulate: int = 1
    """Slices of a batch whose gradients are computed one after another."""
    parallel: Parallel = "jit"
    """How the step runs on several devices."""
    json: bool = False
    """Print JSON, sizes in bytes and those of one device: model, devices, device, batch, dtype,
    parallel, compile_seconds, state_and_batch, outputs, intermediate, program, memory, flops,
    traffic, hbm_bytes_per_image, temporary_bytes_per_image, flops_per_image, intensity (operations
    per byte), roofline_seconds (null where a device's peaks are not known), collectives,
    collective_bytes."""


ARGUMENTS = CompileArguments


def command(argv: list[str]) -> None:
    """`zoo compile`."""
    arguments = parse(CompileArguments, "compile", argv)
    for name in ("batch_size", "image_size", "num_classes", "accumulate"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise UsageError(f"`{name}` must be positive, got {value}")
    mesh = tpu_mesh(arguments.topology) if arguments.topology else data_mesh()
    compiles = partial(_compiled, arguments, mesh)
    if arguments.largest_batch:
        if not arguments.topology:
            raise UsageError(
                "`largest_batch` needs the memory of a TPU: add a topology, as in --topology "
                "v5e:2x2; on this machine's processors nothing is too large to be compiled"
            )
        compiled = largest_batch(compiles, arguments.batch_size, mesh.size)
    else:
        compiled = compiles(arguments.batch_size)
    facts = _facts(arguments, compiled, mesh)
    if arguments.json:
        emit_json(facts)
    else:
        console().print(table(["", ""], [[n, _text(n, v)] for n, v in facts.items()]))


def _compiled(arguments: CompileArguments, mesh: Mesh, images: int) -> Compiled:
    rule = make_optimizer(OptimizerConfig(optimizer=arguments.optimizer), STEPS)
    return compile_step(
        _model(arguments),
        rule,
        (images, *_input_shape(arguments)),
        how=arguments.parallel,
        mesh=mesh,
        average=0.999 if arguments.ema else None,
        accumulate=arguments.accumulate,
    )


def _input_shape(arguments: CompileArguments) -> tuple[int, ...]:
    """Of one image, or of whatever else the architecture reads."""
    shape, side = zoo.model_info(arguments.model).input_shape, arguments.image_size
    if side is None:
        return shape
    if zoo.model_info(arguments.model).reads == "series":
        raise UsageError(
            f"`image_size` is for images, and {arguments.model} reads inputs of shape {shape}; "
            "leave it out"
        )
    return (side, side, shape[-1])


def _model(arguments: CompileArguments) -> nn.Module:
    side = arguments.image_size
    size = {} if side is None else fixed_size(zoo.create_model(arguments.model), side)
    classes = arguments.num_classes or zoo.model_info(arguments.model).num_classes
    dtype = jnp.dtype(arguments.dtype)
    return zoo.create_model(arguments.model, num_classes=classes, dtype=dtype, **size)


def _facts(arguments: CompileArguments, compiled: Compiled, mesh: Mesh) -> dict[str, Any]:
    """What is shown, sizes in bytes and of one device."""
    kind = mesh.devices.flat[0].device_kind
    images = compiled.shape[0] // mesh.size
    return {
        "model": arguments.model,
        "devices": mesh.size,
        "device": kind,
        "batch": list(compiled.shape),
        "dtype": arguments.dtype,
        "parallel": arguments.parallel,
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
