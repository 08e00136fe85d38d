"""`zoo compress`."""

import dataclasses
from pathlib import Path
from typing import Any

import checkpoints
from checkpoints import paths
from checkpoints.store.layout import refuse_other_content
from train.augment.shorthand import Augmentations
from train.cli.arguments import parse
from train.cli.options import spelled
from train.cli.output import emit_json
from train.compress import bytes_of, compress
from train.compress.sweep import check_file, draw, sweep
from train.compress.table import method_of
from train.config import OptimizerConfig
from train.data import Dataset, evaluation_split, found, load_dataset
from train.report import FIGURES, Reporter, console, print_table
from zoo.errors import UsageError, printable


@dataclasses.dataclass(frozen=True)
class CompressArguments:
    """Makes a network smaller; what comes out loads as any other.

    For example:

        zoo compress --weights resnet8.digits --method ternary --out small
        zoo compress --weights runs/mine --dataset path/to/folder --method points --budget 100kB
        zoo compress --weights resnet8.digits --sweep methods.png --budget 50kB

    Methods, with arguments as in `ternary:measure=mean`:
    ternary (kernels of three values; also measure=mean, activations=true);
    points (kernels of 8 bits or fewer, with the network itself as teacher; also bits=4, bucket=256,
    learned=true for points that are learnt);
    prune (fewer filters; also share=0.5 of the bytes, criterion=taylor, or relevance, gradient,
    magnitude, random);
    nested (the first channels of a network trained for 8 widths; also share=0.5, widths=8);
    lowrank (two thin layers in place of one; also share=0.5, lasso=0.0003, patterns=REGEX);
    sparse (kernels with few numbers left; also share=0.9, patterns=REGEX).
    """

    weights: str
    """A name of `zoo weights`, a run, or a checkpoint directory."""
    method: str = "ternary"
    """How, see above."""
    budget: str | None = None
    """Largest size, as in 100kB: of what fits, the largest is made; None is the method's own."""
    dataset: str | None = None
    """A tensorflow-datasets name or a folder; None is what the weights were trained on."""
    data_dir: str | None = None
    """Where prepared data sets lie; None is TFDS_DATA_DIR or ~/tensorflow_datasets."""
    train_split: str = "train"
    """Split to train on; slices such as train[:10%] work."""
    eval_split: str | None = None
    """Split to measure; None is test if the data set has one, else validation."""
    epochs: float = 20.0
    """Passes over the training images; 0 trains nothing."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    batch_size: int = 64
    """Images per update, over all devices."""
    augment: Augmentations = ()
    """Random changes of training images, as in `zoo train`."""
    seed: int = 0
    """Seed of everything random."""
    out: str | None = None
    """Where the checkpoint goes; None is a new directory under runs/."""
    sweep: str | None = None
    """Try all methods, draw accuracy against bytes into this file as in methods.png, and save no
    network: dots were trained, crosses were not."""
    json: bool = False
    """Print the result as JSON, alone, on stdout."""


ARGUMENTS = CompressArguments


def command(argv: list[str]) -> None:
    """`zoo compress`."""
    arguments = parse(CompressArguments, "compress", argv)
    check(arguments)
    picture = None if arguments.sweep is None else check_file(arguments.sweep)
    budget = None if arguments.budget is None else bytes_of(arguments.budget)
    loaded = checkpoints.load(arguments.weights)
    out = _out(arguments, loaded.card.name)
    reporter = Reporter(console(stderr=True), lambda text: spelled(text, ARGUMENTS))
    training, evaluation = _data(arguments, loaded.card, reporter)
    options: Any = {
        "evaluation": evaluation,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "optimization": OptimizerConfig(learning_rate=arguments.learning_rate),
        "augment": arguments.augment,
        "seed": arguments.seed,
        "reporter": reporter,
    }
    if picture is not None:
        return _sweep(arguments, loaded, training, picture, budget, options)
    small = compress(loaded, training, method=arguments.method, budget=budget, **options)
    card = dataclasses.replace(small.card, name=out.name)
    checkpoints.save(out, small.variables, card)
    source: Any = card.source
    if arguments.json:
        return emit_json({**source, "directory": str(out)})
    print_table(["", "before", "after"], rows(source["before"], source["after"]))
    return console().print(printable(f"saved: {out}"), soft_wrap=True)


def _sweep(
    arguments: CompressArguments,
    loaded: checkpoints.Pretrained,
    data: Dataset,
    picture: Path,
    budget: int | None,
    options: dict[str, Any],
) -> None:
    points = sweep(loaded, data, **options)
    draw(points, picture, arguments.weights, budget)
    if arguments.json:
        return emit_json([point._asdict() for point in points])
    fits = lambda size: "yes" if budget is None or size <= budget else "no"  # noqa: E731
    cells = [
        [p.method, "yes" if p.trained else "no", f"{p.bytes:,}", f"{p.macs:,}", f"{p.worth:.4f}"]
        + ([] if budget is None else [fits(p.bytes)])
        for p in points
    ]
    columns = ["method", "trained", "bytes", "multiply-adds", "top-1"]
    print_table(columns + ([] if budget is None else ["fits"]), cells)
    return console().print(printable(f"drawn: {picture}"), soft_wrap=True)


def _data(
    arguments: CompressArguments, card: checkpoints.Card, reporter: Reporter
) -> tuple[Dataset, Dataset]:
    """What is trained on, and what is measured."""
    dataset = arguments.dataset or (card.trained_on or "").rpartition(":")[0]
    if not dataset:
        raise UsageError(f"`dataset` is needed: the card of {card.name} names none")
    place = arguments.data_dir
    split = arguments.eval_split or evaluation_split(dataset, place)
    both = tuple(
        load_dataset(dataset, name, data_dir=place) for name in (arguments.train_split, split)
    )
    for data in both:
        reporter.say(found(data))
    return both[0], both[1]


def check(arguments: CompressArguments) -> None:
    """Refuses numbers that mean nothing, and methods that there are not."""
    for field in ("learning_rate", "batch_size"):
        if not getattr(arguments, field) > 0:
            raise UsageError(f"`{field}` must be positive, got {getattr(arguments, field)}")
    if not arguments.epochs >= 0:
        raise UsageError(f"`epochs` must be at least 0, got {arguments.epochs}")
    method_of(arguments.method)


def rows(before: dict[str, Any], after: dict[str, Any]) -> list[list[str]]:
    """What a network costs and is worth, before and after."""
    titles = {"bytes": "bytes", "macs": "multiply-adds", "latency_ms": "milliseconds on this CPU"}
    costs = [[title, f"{before[n]:,}", f"{after[n]:,}"] for n, title in titles.items()]
    shown = [n for n in FIGURES if n in before["metrics"]]
    worth = [
        [FIGURES[n], *(f"{which['metrics'][n]:.4f}" for which in (before, after))] for n in shown
    ]
    return [*costs, *worth]


def _out(arguments: CompressArguments, name: str) -> Path | Any:
    """Where the result goes, which is nothing else's place."""
    if arguments.out is not None:
        target = paths.path(arguments.out)
        refuse_other_content(target)
        return target
    stem = Path("runs") / f"{Path(name).name}-{arguments.method.partition(':')[0]}"
    places = (stem if n == 1 else stem.with_name(f"{stem.name}-{n}") for n in range(1, 1_000_000))
    return next(place for place in places if not place.exists())
