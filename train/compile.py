"""Compilation ahead of time, for devices that are here or for TPUs that are not.

The package `libtpu` holds the compiler of TPUs and runs on any machine: what it accepts here, it
accepts there, and the memory that it plans is the memory that will be taken.
"""

import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from checkpoints import installation
from train.mesh import AXIS, arrangement, data_mesh
from train.objective import Objective
from train.parallel import check_divisible, lower
from train.state import TrainState, create_state
from train.step import make_train_step
from zoo.errors import UsageError
from zoo.parameters import Parameters

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# Without these, libtpu looks for a TPU in the surroundings, complains that there is none, and lets
# one process at a time in.
ALONE = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}
NAMES = {"f": "float", "s": "int", "u": "uint"}  # of dtypes in the text of a program
CHIPS_PER_HOST = 4
EXAMPLES = "v5e:1x1, v5e:4x4, v6e:2x4, v5p:2x2x1, tpu7x:2x2x1"


T = TypeVar("T")


class TooLargeError(UsageError):
    """A step does not fit into a device's memory."""


class Compiled(NamedTuple):
    """A training step as a compiler planned it; sizes and operations are those of one device.

    Attributes:
        program: the compiled step.
        shape: of the batch over all devices.
        seconds: time that compilation took.
        arguments: bytes of state and batch.
        outputs: bytes of results that do not take the place of arguments.
        temporary: bytes of intermediate values at their peak.
        code: bytes of the program itself.
        flops: floating-point operations of a step.
        traffic: bytes that operations read and write, as the compiler counts them.
        collectives: how many exchanges between devices, of each kind, the program holds.
        exchanged: bytes of the results of these exchanges.
    """

    program: jax.stages.Compiled
    shape: tuple[int, ...]
    seconds: float
    arguments: int
    outputs: int
    temporary: int
    code: int
    flops: float
    traffic: float
    collectives: dict[str, int]
    exchanged: int

    @property
    def memory(self) -> int:
        """Bytes that a device needs."""
        return self.arguments + self.outputs + self.temporary + self.code


def tpu_mesh(topology: str, shape: str | None = None) -> Mesh:
    """A mesh of TPUs that need not be here.

    Args:
        topology: kind and shape of the slice, such as "v5e:2x2" or "v5p:2x2x1".
        shape: of the mesh, as in `train.make_mesh`.

    Raises:
        UsageError: `libtpu` is not installed or knows no such slice, or the mesh does not fit it.
    """
    from jax.experimental import topologies

    if find_spec("libtpu") is None:
        raise UsageError(
            "compiling for TPUs needs libtpu, best in an environment of its own: "
            f"{installation.command('tpu')}"
        )
    kind, _, chips = topology.partition(":")
    if not kind or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)+", chips):
        raise UsageError(
            f"`topology` must be a kind of TPU and the shape of a slice, such as {EXAMPLES}; got "
            f"{topology!r}"
        )
    sides = [int(n) for n in chips.split("x")]
    options: dict[str, Any] = {}
    if math.prod(sides) < CHIPS_PER_HOST:
        options["chips_per_host_bounds"] = [*sides, 1][:3]
    try:
        with _environment(ALONE):
            found = topologies.get_topology_desc(topology, platform="tpu", **options)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise UsageError(
            f"libtpu has no `topology` {topology!r} ({reason}); examples are {EXAMPLES}"
        ) from error
    arranged = arrangement(shape, len(found.devices))
    return Mesh(np.array(found.devices).reshape(*arranged.values()), tuple(arranged))


def compile_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    shape: Sequence[int],
    *,
    how: str = "jit",
    mesh: Mesh | None = None,
    objective: Objective | None = None,
    parameters: Parameters | None = None,
    average: float | None = None,
    accumulate: int = 1,
    batch_norm_groups: int = 1,
) -> Compiled:
    """Compiles a training step from shapes alone: no weights are made, nothing runs.

    Args:
        model: module called as `model(inputs, train=True)` on classes.
        optimizer: optax transformation.
        shape: of a batch over all devices: (b, h, w, c) of images, (b, l, c) of sequences.
        how: "jit", "pmap" or "shard_map"; see `train.parallelize`.
        mesh: devices to compile for; default: those of this machine.
        objective: as in `train.make_train_step`.
        parameters: as in `train.make_train_step`.
        average: as in `train.create_state`.
        accumulate: as in `train.make_train_step`.
        batch_norm_groups: as in `train.make_train_step`.

    Raises:
        UsageError: the batch cannot be split.
        TooLargeError: the step does not fit into a device's memory.
    """
    mesh = mesh or data_mesh()
    check_divisible(shape[0], mesh.size)
    method: Any = {"objective": objective, "parameters": parameters}
    options = {"accumulate": accumulate, "batch_norm_groups": batch_norm_groups}
    axis_name = None if how == "jit" else AXIS
    step = make_train_step(model, optimizer, axis_name=axis_name, **options, **method)

    def create() -> TrainState:
        key = jax.random.key(0)
        variables: Any = model.init(key, jnp.zeros((1, *shape[1:])), train=False)
        return create_state(variables, optimizer, key=key, average=average, **method)

    batch = {
        "input": jax.ShapeDtypeStruct(tuple(shape), jnp.float32),
        "label": jax.ShapeDtypeStruct((shape[0],), jnp.int32),
    }
    begun = time.perf_counter()
    lowered = lower(step, how, create=create, batch=batch, mesh=mesh)
    try:
        with uncached():
            program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        raise too_large(error, shape[0] // mesh.size) from error
    return _measured(program, tuple(shape), time.perf_counter() - begun)


@contextmanager
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    """Sets variables of the environment that are not set."""
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextmanager
def uncached() -> Iterator[None]:
    """Leaves JAX's cache of programs alone: it can keep what is for absent devices, not load it."""
    before = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)


def _measured(program: jax.stages.Compiled, shape: tuple[int, ...], seconds: float) -> Compiled:
    memory: Any = program.memory_analysis()
    cost: Any = program.cost_analysis()
    found = exchanges(program.as_text() or "")
    return Compiled(
        program=program,
        shape=shape,
        seconds=seconds,
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        temporary=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        flops=float(cost.get("flops", 0.0)),
        traffic=float(cost.get("bytes accessed", 0.0)),
        collectives=dict(Counter(kind for kind, _ in found)),
        exchanged=sum(size for _, size in found),
    )


def exchanges(program: str) -> list[tuple[str, int]]:
    """Kind and bytes of the result of each exchange between devices in the text of a program."""
    # An asynchronous one is a pair, NAME-start and NAME-done, of which the second has the result.
    found = re.findall(rf"= (\S.*?) ({'|'.join(COLLECTIVES)})(?:-done)?\(", program)
    return [(kind, nbytes(result)) for result, kind in found]


def nbytes(shapes: str) -> int:
    """Bytes of arrays as the text of a program writes them, such as (f32[8,3]{1,0}, bf16[])."""
    dtypes = {"pred": "bool", "bf16": "bfloat16"}
    return sum(
        math.prod(int(n) for n in sides.split(",") if n)
        * jnp.dtype(dtypes.get(name) or f"{NAMES[name[0]]}{name[1:]}").itemsize
        for name, sides in re.findall(r"\b(pred|bf16|[fsu]\d+)\[([\d,]*)\]", shapes)
    )


def largest_batch(compiles: Callable[[int], T], first: int, devices: int) -> T:
    """What is compiled for the largest batch that fits, to an eighth of it.

    Args:
        compiles: compiles a step on a batch of that size, or raises `TooLargeError`.
        first: batch to begin with, over all devices; doubled until a step does not fit.
        devices: by which every batch is divisible.

    Raises:
        TooLargeError: not even one example for each device fits.
    """
    fits, found, fails = 0, None, None
    images = max(first // devices, 1)
    while fails is None or fails - fits > max(fits // 8, 1):
        try:
            found = compiles(images * devices)
            fits = images
        except TooLargeError:
            if images == 1:
                raise
            fails = images
        images = 2 * fits if fails is None else (fits + fails) // 2
    assert found is not None
    return found


def too_large(error: Exception, images: int) -> Exception:
    """What to say of a compiler that ran out of the device's memory; the error itself of others."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        return error
    sizes = re.search(r"\((\S+)\) exceeds available HBM \((\S+)\)", str(error))
    what = f" of {sizes[2]}: its intermediate values alone take {sizes[1]}" if sizes else ""
    return TooLargeError(
        f"a step on {images} images per device does not fit into its memory{what}; take a smaller "
        "`batch_size`, more devices, or bfloat16 as `dtype`"
    )
