"""`zoo finetune`."""

import dataclasses
from typing import Any

from train import hosts
from train.cli import probe, runs
from train.cli.output import emit_json
from train.config import Config
from train.evaluations import by_name
from train.finetune import Comparison, finetune
from train.recipes import FINETUNE, TRANSFER
from zoo.errors import UsageError


@dataclasses.dataclass(frozen=True)
class FinetuneArguments(runs.RunOptions):
    """Adapts pretrained weights to a data set: a new head where the classes differ.

    Without `--weights` and `--dataset` it shows the whole of it on data that ships with the
    package: weights trained on rendered digits, fine-tuned on 5 handwritten ones of each class.

        zoo finetune
        zoo finetune --weights resnet50.a1_in1k --dataset path/to/folder --flip
        zoo finetune --weights resnet18.a1_in1k --dataset path/to/folder --per-class 5
    """

    config: Config = FINETUNE
    compare_scratch: bool = False
    """Also train the same network from random weights on the same images."""
    probe: bool = False
    """Fit only a linear classifier to features that are computed once, as `zoo probe` does."""
    show_batch: str | None = None
    """Draw the first batch into this file as the network will see it, as in batch.png, and stop."""
    distributed: bool = False
    """Train together with the other processes of a TPU pod, SLURM, Kubernetes or MPI job."""
    json: bool = False
    """Print the result as JSON, alone, on stdout."""


ARGUMENTS = FinetuneArguments


def command(argv: list[str]) -> None:
    """`zoo finetune`."""
    default = FinetuneArguments()
    arguments = runs.parse(FinetuneArguments, "finetune", argv, default)
    compare = arguments.compare_scratch
    if arguments.config.weights is None and arguments.config.dataset is None:
        default = FinetuneArguments(TRANSFER)
        arguments = runs.parse(FinetuneArguments, "finetune", argv, default)
        compare = True
    if arguments.probe:
        probe.refuse_updates(arguments.config, default.config)
        also = {"json": arguments.json, "distributed": arguments.distributed}
        return probe.show(arguments.config, ARGUMENTS, **also)
    if arguments.config.weights is None:
        raise UsageError("`--weights` is needed beside `--dataset`; `zoo weights` lists them")
    if arguments.show_batch is not None:
        return runs.show_first_batch(arguments.config, arguments.show_batch)
    reporter = runs.reporter(ARGUMENTS, arguments.distributed, arguments.json)
    found = finetune(arguments.config, compare_scratch=compare, reporter=reporter)
    if not hosts.is_first():
        return None
    if arguments.json:
        return emit_json(_comparison(found))
    rows = {"before fine-tuning": found.before, **by_name(found.after, "fine-tuned")}
    if found.scratch:
        rows["from scratch"] = by_name(found.scratch, "from scratch")["from scratch"]
    runs.print_figures(rows)
    return runs.last_line(found.result.directory)


def _comparison(found: Comparison) -> dict[str, Any]:
    figures = {"before": found.before, "after": found.after, "scratch": found.scratch}
    return figures | {"directory": str(found.result.directory)}
