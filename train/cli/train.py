"""`zoo train`."""

import dataclasses
from typing import Any

from train import hosts
from train.cli import dry_run, runs, supervision
from train.cli.output import emit_json
from train.config import Config
from train.evaluations import by_name
from train.folds import Spread, cross_validate, spread
from train.loop import Result, fit
from train.recipes import TRAIN
from zoo.errors import UsageError


@dataclasses.dataclass(frozen=True)
class TrainArguments(runs.RunOptions):
    """Trains an architecture on a data set, from scratch or from `--weights`.

    The run directory holds config.json, metrics.jsonl, metrics.csv, curves.png and checkpoints;
    `zoo evaluate --weights DIR` and `zoo predict --weights DIR` take it.

        zoo train --model resnet8 --dataset zoo_digits
        zoo train --model resnet18 --dataset path/to/folder --epochs 90 --crop 0.3 --flip
        zoo train --recipe resnet8.digits --seed 1
        zoo train --recipe resnet50.a2_in1k --dry-run --topology v5e:4x4
        zoo train --model resnet8 --dataset zoo_digits --folds 5 --out runs/folds
        zoo train --resume --out runs/resnet8-zoo_digits
        zoo train --model resnet18 --dataset path/to/folder --supervise 5
    """

    config: Config = TRAIN
    show_batch: str | None = None
    """Draw the first batch into this file as the network will see it, as in batch.png, and stop."""
    dry_run: bool = False
    """Say what the run comes to, draw its first batch into `--show-batch` or under runs/, compile a
    step for the memory that it needs, and stop."""
    topology: str | None = None
    """With `--dry-run`: TPUs to compile for, as in v5e:4x4; None is the devices of this machine."""
    distributed: bool = False
    """Train together with the other processes of a TPU pod, SLURM, Kubernetes or MPI job."""
    supervise: int | None = None
    """Start the run again where it was last saved if it is killed, up to so many times."""
    json: bool = False
    """Print the result as JSON, alone, on stdout."""


ARGUMENTS = TrainArguments


def command(argv: list[str]) -> None:
    """`zoo train`."""
    arguments = runs.parse(TrainArguments, "train", argv)
    if arguments.dry_run:
        return dry_run.show(
            arguments.config, arguments.recipe, arguments.show_batch, arguments.topology
        )
    if arguments.topology is not None:
        raise UsageError("`topology` goes with `dry_run`, which compiles and does not train")
    if arguments.show_batch is not None:
        return runs.show_first_batch(arguments.config, arguments.show_batch)
    if arguments.supervise is not None:
        alone = not arguments.distributed and arguments.config.folds is None
        options: Any = {"restarts": arguments.supervise, "alone": alone}
        return supervision.run("train", argv, arguments.config, **options)
    reporter = runs.reporter(ARGUMENTS, arguments.distributed, arguments.json)
    if arguments.config.folds is not None and arguments.config.fold is None:
        return _show_folds(cross_validate(arguments.config, reporter), arguments)
    result = fit(arguments.config, reporter)
    if not hosts.is_first():
        return None
    if arguments.json:
        return emit_json({**result.metrics, "directory": str(result.directory)})
    runs.print_figures(by_name(result.metrics, "trained"))
    return runs.last_line(result.directory)


def _show_folds(results: list[Result], arguments: TrainArguments) -> None:
    """Every fold's figures, then their mean and standard deviation."""
    if not hosts.is_first():
        return None
    over = spread(results)
    if arguments.json:
        figures = [{**result.metrics, "directory": str(result.directory)} for result in results]
        return emit_json({"folds": figures, **{n: found._asdict() for n, found in over.items()}})
    rows = {f"fold {n}": by_name(result.metrics, "")[""] for n, result in enumerate(results)}
    count = sum(int(result.metrics["count"]) for result in results)
    for name in Spread._fields:
        rows[name] = {f: getattr(over[f], name) for f in rows["fold 0"]} | {"count": count}
    runs.print_figures(rows)
    return runs.last_line(arguments.config.out, "a run for each fold")
