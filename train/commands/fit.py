"""`zoo train` and `zoo finetune`."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import tyro

from train import hosts
from train.cli import emit_json, parse
from train.commands import defaults
from train.config import Config, assignment
from train.finetune import Comparison, finetune
from train.loop import fit
from train.recipes import FINETUNE, TRAIN, TRANSFER
from train.report import Reporter, console, figures, table
from zoo.errors import UsageError, printable

ConfigFile = Annotated[str | None, tyro.conf.arg(name="config")]


@dataclasses.dataclass(frozen=True)
class TrainArguments:
    """Trains an architecture on a data set, from scratch or from `--weights`.

    The run directory holds config.json, metrics.jsonl, metrics.csv, curves.png and checkpoints;
    `zoo evaluate --weights DIR` and `zoo predict --weights DIR` take it.

        zoo train --model resnet8 --dataset zoo_digits
        zoo train --model resnet18 --dataset path/to/folder --epochs 90 --crop 0.3 --flip
        zoo train --recipe resnet8.digits --seed 1
        zoo train --resume --out runs/resnet8-zoo_digits
    """

    config: Config = TRAIN
    recipe: str | None = None
    """Start from a recipe's settings; further options override them. `--recipe help` lists all."""
    file: ConfigFile = None
    """Start from the settings of a run: its directory or its config.json; options override them."""
    distributed: bool = False
    """Train together with the other processes of a TPU pod, SLURM, Kubernetes or MPI job."""
    json: bool = False
    """Print the result as JSON, alone, on stdout."""


@dataclasses.dataclass(frozen=True)
class FinetuneArguments:
    """Adapts pretrained weights to a data set: a new head where the classes differ.

    Without `--weights` and `--dataset` it shows the whole of it on data that ships with the
    package: weights trained on rendered digits, fine-tuned on 5 handwritten ones of each class.

        zoo finetune
        zoo finetune --weights resnet50.a1_in1k --dataset path/to/folder --flip
        zoo finetune --weights resnet8.digits --dataset path/to/folder --per-class 5
    """

    config: Config = FINETUNE
    recipe: str | None = None
    """Start from a recipe's settings; further options override them. `--recipe help` lists all."""
    file: ConfigFile = None
    """Start from the settings of a run: its directory or its config.json; options override them."""
    compare_scratch: bool = False
    """Also train the same network from random weights on the same images."""
    distributed: bool = False
    """Train together with the other processes of a TPU pod, SLURM, Kubernetes or MPI job."""
    json: bool = False
    """Print the result as JSON, alone, on stdout."""


def train_command(argv: list[str]) -> None:
    """`zoo train`."""
    arguments = _parse(TrainArguments, "train", argv)
    reporter = _reporter(arguments)
    result = fit(arguments.config, reporter)
    if not hosts.is_first():
        return None
    if arguments.json:
        return emit_json({**result.metrics, "directory": str(result.directory)})
    _print_figures({"trained": result.metrics})
    return _last_line(result.directory)


def finetune_command(argv: list[str]) -> None:
    """`zoo finetune`."""
    arguments = _parse(FinetuneArguments, "finetune", argv)
    compare = arguments.compare_scratch
    if arguments.config.weights is None and arguments.config.dataset is None:
        arguments = _parse(FinetuneArguments, "finetune", argv, FinetuneArguments(TRANSFER))
        compare = True
    if arguments.config.weights is None:
        raise UsageError("`--weights` is needed beside `--dataset`; `zoo weights` lists them")
    reporter = _reporter(arguments)
    found = finetune(arguments.config, compare_scratch=compare, reporter=reporter)
    if not hosts.is_first():
        return None
    if arguments.json:
        return emit_json(_comparison(found))
    rows = {"before fine-tuning": found.before, "fine-tuned": found.after}
    _print_figures(rows | ({"from scratch": found.scratch} if found.scratch else {}))
    return _last_line(found.result.directory)


def _print_figures(evaluations: Mapping[str, dict[str, float | int]]) -> None:
    rows = {name: figures(metrics) for name, metrics in evaluations.items()}
    titles = list(next(iter(rows.values())))
    console().print(table(["", *titles], [[name, *row.values()] for name, row in rows.items()]))


def _comparison(found: Comparison) -> dict[str, Any]:
    figures = {"before": found.before, "after": found.after, "scratch": found.scratch}
    return figures | {"directory": str(found.result.directory)}


def _last_line(directory: Any) -> None:
    text = printable(f"checkpoint, metrics and curves: {directory}")
    console().print(text, soft_wrap=True)


def _reporter(arguments: TrainArguments | FinetuneArguments) -> Reporter:
    """Says what a run does; first of all it joins the other processes, of which one speaks."""
    if arguments.distributed:
        hosts.join()
    return Reporter(console(stderr=arguments.json) if hosts.is_first() else None)


def _parse(kind: Any, name: str, argv: list[str], default: Any = None) -> Any:
    """Parses `argv` over the recipe, file or run that it names, if it does."""
    default = default or kind()
    argv, overrides = _set_apart(argv)

    def parsed(config: Config) -> Any:
        # Flags that the other config has set may be given again, or taken back with --no-FLAG.
        pairs = config is not default.config
        start = dataclasses.replace(default, config=config)
        return parse(kind, name, argv, default=start, pairs=pairs)

    found = parsed(defaults.of(argv, default.config, lambda config: parsed(config).config))
    config = dataclasses.replace(found.config, overrides={**found.config.overrides, **overrides})
    return dataclasses.replace(found, config=config) if overrides else found


def _set_apart(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Takes `--set FIELD=VALUE ...` out of arguments; it may be given several times."""
    rest, fields, inside = [], {}, False
    for word in argv:
        inside = word == "--set" or (inside and not word.startswith("-"))
        if not inside:
            rest.append(word)
        elif word != "--set":
            name, value = assignment(word)
            fields[name] = value
    return rest, fields
