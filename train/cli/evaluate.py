"""`zoo evaluate`."""

import dataclasses

import checkpoints
from train import seen
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.data import evaluation_split, found, load_dataset
from train.data.pairing import paired
from train.evaluation import evaluate
from train.report import console, figures, table
from zoo.errors import UsageError, printable


@dataclasses.dataclass(frozen=True)
class EvaluateArguments:
    """Measures weights on a data set; every example counts exactly once.

    For example:

        zoo evaluate --weights resnet8.digits
        zoo evaluate --weights runs/resnet8-zoo_digits --dataset path/to/folder --split all
    """

    weights: str
    """A name of `zoo weights`, a run, or a checkpoint directory."""
    dataset: str | None = None
    """A tensorflow-datasets name or an image folder; None is what the weights were trained on."""
    split: str | None = None
    """Split to measure; None is test if the data set has one, else validation."""
    data_dir: str | None = None
    """Where prepared data sets lie; None is TFDS_DATA_DIR or ~/tensorflow_datasets."""
    batch_size: int = 256
    """Images at a time, over all devices."""
    skip_broken: bool = False
    """Leave images out that cannot be decoded, and count them, instead of stopping."""
    json: bool = False
    """Print JSON: top1, top5, loss, count; or what else the labels are judged by."""


ARGUMENTS = EvaluateArguments


def command(argv: list[str]) -> None:
    """`zoo evaluate`."""
    arguments = parse(EvaluateArguments, "evaluate", argv)
    loaded = checkpoints.load(arguments.weights)
    dataset = arguments.dataset or _trained_on(loaded.card)
    split = arguments.split or evaluation_split(dataset, arguments.data_dir)
    data = load_dataset(
        dataset, split, data_dir=arguments.data_dir, skip_broken=arguments.skip_broken
    )
    warning = seen.lost(data, loaded.preprocess)
    for line in filter(None, (found(data), warning)):
        console(stderr=True).print(printable(line), soft_wrap=True)
    data = paired(data, loaded.card, arguments.weights)
    metrics = evaluate(
        loaded.model,
        loaded.variables,
        data,
        preprocess=loaded.preprocess,
        batch_size=arguments.batch_size,
    )
    if arguments.json:
        return emit_json(metrics)
    cells = figures(metrics)
    row = [arguments.weights, f"{dataset}:{split}", *cells.values()]
    return console().print(table(["weights", "data", *cells], [row]))


def _trained_on(card: checkpoints.Card) -> str:
    if not card.trained_on:
        raise UsageError(f"`--dataset` is needed: the card of {card.name} names none")
    return card.trained_on.rpartition(":")[0] or card.trained_on
