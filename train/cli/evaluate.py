"""`zoo evaluate`."""

import dataclasses

import checkpoints
from checkpoints import paths
from train import seen
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.data import Dataset, evaluation_split, found, load_dataset
from train.data.pairing import paired
from train.evaluation import evaluate
from train.report import console, figures, table
from train.tta import viewed, views_of
from zoo.errors import UsageError, printable


@dataclasses.dataclass(frozen=True)
class EvaluateArguments:
    """Measures weights on a data set; every example counts exactly once.

    For example:

        zoo evaluate --weights resnet8.digits
        zoo evaluate --weights runs/resnet8-zoo_digits --dataset path/to/folder --split all
        zoo evaluate --weights resnet8.digits --report figures --bootstrap 1000
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
    tta: str | None = None
    """Views of each image, of whose answers the mean counts: flip, vertical_flip, five_crop, or
    several as in flip,five_crop."""
    skip_broken: bool = False
    """Leave images out that cannot be decoded, and count them, instead of stopping."""
    report: str | None = None
    """Write figures of every class, calibration, a confusion matrix and every answer here."""
    bootstrap: int = 0
    """Repeats for 95 % intervals of the figures; 1000 is usual, 0 gives none."""
    slices: str | None = None
    """A CSV with a row for each example, in order: figures of the examples of each value, too."""
    labels: str | None = None
    """A JSON list with all right classes of each example, such as ImageNet's real.json."""
    only_its_classes: bool = False
    """Answers may only be classes that the data set has, as for ImageNet-A and ImageNet-R."""
    json: bool = False
    """Print JSON: top1, top5, loss, count; or what else the labels are judged by."""


ARGUMENTS = EvaluateArguments


def command(argv: list[str]) -> None:
    """`zoo evaluate`."""
    arguments = parse(EvaluateArguments, "evaluate", argv)
    if arguments.tta is not None:
        views_of(arguments.tta)  # before anything is fetched
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
    loaded = loaded._replace(preprocess=viewed(loaded.preprocess, arguments.tta))
    if wants_report(arguments):
        return _report(arguments, loaded, data)
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


def wants_report(arguments: EvaluateArguments) -> bool:
    """Whether figures beyond those of the task are asked for.

    Raises:
        UsageError: repeats that make no interval.
    """
    if arguments.bootstrap < 0 or arguments.bootstrap == 1:
        raise UsageError(f"`bootstrap` must be 0 or at least 2, got {arguments.bootstrap}")
    wanted = arguments.report, arguments.bootstrap, arguments.slices, arguments.labels
    return any(wanted) or arguments.only_its_classes


def _report(arguments: EvaluateArguments, loaded: checkpoints.Pretrained, data: Dataset) -> None:
    """Figures of `train.honest.report`: as a table or JSON, and as files."""
    from train.honest import report  # scikit-learn and plots, which few evaluations need

    options = {"batch_size": arguments.batch_size, "only_its_classes": arguments.only_its_classes}
    answers = report.answered(loaded, data, **options)
    count = len(answers.labels)
    attributes = arguments.slices and report.read_attributes(arguments.slices, count)
    sets = arguments.labels and report.read_sets(arguments.labels, count)
    made = report.made(
        answers,
        loaded.card.labels or tuple(map(str, range(answers.logits.shape[1]))),
        repeats=arguments.bootstrap,
        attributes=attributes or None,
        sets=sets or None,
    )
    if arguments.report:
        report.save(made, paths.local(arguments.report))
    if arguments.json:
        return emit_json(report.as_json(made))
    console().print(table(["", "", "95 % interval"], report.rows(made)))
    if arguments.report:
        console().print(printable(f"report: {arguments.report}"), soft_wrap=True)
    return None


def _trained_on(card: checkpoints.Card) -> str:
    if not card.trained_on:
        raise UsageError(f"`--dataset` is needed: the card of {card.name} names none")
    return card.trained_on.rpartition(":")[0] or card.trained_on
