"""`zoo train --dry-run`: the plan of a run, printed."""

import dataclasses

import jax

from checkpoints import paths
from checkpoints.preprocess import SequencePreprocess
from train import dry_run
from train.compile import Compiled, tpu_mesh
from train.config import Config
from train.mesh import make_mesh
from train.plan import check_batch
from train.preview import draw
from train.recipes import DESCRIBED
from train.report import console, table
from zoo.errors import UsageError, printable

MIB = 2**20


def show(config: Config, recipe: str | None, picture: str | None, topology: str | None) -> None:
    """Prints what a run comes to; the memory of a step last, since it is compiled for it.

    Args:
        config: the run.
        recipe: that it began from.
        picture: file for the first batch; None is one under runs/.
        topology: TPUs to compile for; None is the devices of this machine.
    """
    mesh = tpu_mesh(topology, config.mesh) if topology else make_mesh(config.mesh)
    rehearsal = dry_run.rehearse(config)
    planned = rehearsal.plan
    for note in rehearsal.notes:
        _say(f"note: {note}")
    rows = [[title, text] for title, text in (_origin(recipe) | dry_run.described(planned)).items()]
    console().print(table(["", ""], rows, numbers=False))
    for line in dry_run.plot(planned.schedule, planned.steps):
        console().print(line, soft_wrap=True)
    _say(f"\nstate: {dry_run.state_bytes(planned) / MIB:,.1f} MiB")
    _draw(rehearsal, recipe or f"{config.model or 'run'}-{config.dataset}", picture)
    check_batch(config, config.batch_size, mesh.size)
    device = mesh.devices.flat[0].device_kind
    _say(f"compiling a step for {mesh.size} {device} ...")
    _say(_memory(dry_run.compiled(planned, mesh), mesh.size))


def _origin(recipe: str | None) -> dict[str, str]:
    """What is known of a recipe."""
    if recipe is None:
        return {}
    known = DESCRIBED[recipe]
    top1 = "" if known.top1 is None else f"{100 * known.top1:.2f} % top-1, {known.measured}"
    told = {"source": known.source, "hardware": known.hardware, "published": top1}
    return {"recipe": f"{recipe}: {known.about}"} | {name: v for name, v in told.items() if v}


def _draw(rehearsal: dry_run.Rehearsal, name: str, picture: str | None) -> None:
    planned = rehearsal.plan
    is_series = isinstance(planned.network.card.preprocess, SequencePreprocess)
    if picture is None and (is_series or not rehearsal.is_here):
        return
    if not rehearsal.is_here:
        raise UsageError(
            f"`show_batch` needs data, and {planned.config.dataset} is not here; choose another "
            "`dataset`, such as zoo_digits"
        )
    path = paths.local(picture or f"runs/{name.replace('/', '-')}-first-batch.png")
    count = draw(_small(planned), path)
    _say(f"first batch: {path}, {count} images")


def _small(planned: dry_run.Plan) -> dry_run.Plan:
    """The plan with a batch that is no larger than what is drawn, where it can be."""
    config = planned.config
    if config.batch_size <= SHOWN or SHOWN % (config.accumulate * _views(planned)):
        return planned
    return planned._replace(config=dataclasses.replace(config, batch_size=SHOWN))


SHOWN = 96


def _views(planned: dry_run.Plan) -> int:
    return planned.augmentation.views if planned.augmentation else 1


def _memory(compiled: Compiled, devices: int) -> str:
    text = (
        f"memory of each of {devices}: {compiled.memory / MIB:,.1f} MiB, of which "
        f"{compiled.arguments / MIB:,.1f} state and batch, {compiled.temporary / MIB:,.1f} "
        f"intermediate; compiled in {compiled.seconds:.1f} s"
    )
    here = jax.devices()[0].memory_stats() if devices == jax.device_count() else None
    limit = (here or {}).get("bytes_limit")
    return text + (f"; the device has {limit / MIB:,.0f} MiB" if limit else "")


def _say(text: str) -> None:
    console().print(printable(text), soft_wrap=True)
