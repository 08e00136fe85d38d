"""`zoo probe`, and `zoo finetune --probe`."""

import dataclasses
from typing import Any

from train import hosts
from train.cli import arguments as options
from train.cli import runs
from train.cli.output import emit_json
from train.config import Config
from train.evaluations import by_name
from train.probe import probe_run
from train.recipes import TRANSFER
from zoo.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ProbeArguments:
    """Fits a linear classifier to the features of pretrained weights, which stay as they are.

    Features are computed once; the classifier is logistic regression, as scikit-learn's. The result
    is a checkpoint that `zoo evaluate` and `zoo predict` take. Without `--weights` and `--dataset`
    it shows the whole of it on data that ships with the package.

        zoo probe
        zoo probe --weights resnet50.a1_in1k --dataset path/to/folder
    """

    weights: str | None = None
    """A name of `zoo weights`, a run, a checkpoint directory."""
    dataset: str | None = None
    """A tensorflow-datasets name, or a folder of images in one sub-folder per class."""
    c: float = 1.0
    """Inverse strength of the penalty on the coefficients, scikit-learn's C."""
    data_dir: str | None = None
    """Where prepared data sets lie; None is TFDS_DATA_DIR or ~/tensorflow_datasets."""
    train_split: str = "train"
    """Split to fit; slices such as train[:10%] work."""
    eval_split: str | None = None
    """Split to evaluate on; None is test if the data set has one, else validation."""
    per_class: int | None = None
    """Fit this many images of each class, drawn by the seed; None for all."""
    seed: int = 0
    """Seed of that draw."""
    skip_broken: bool = False
    """Leave images out that cannot be decoded, and count them, instead of stopping."""
    image_size: int | None = None
    """Side of the network's input in pixels; None is that of the weights."""
    batch_size: int = 256
    """Images at a time, over all devices."""
    out: str | None = None
    """Where the checkpoint goes; None is a new directory under runs/."""
    json: bool = False
    """Print the result as JSON, alone, on stdout."""


ARGUMENTS = ProbeArguments
OF_CONFIG = {f.name for f in dataclasses.fields(ProbeArguments)} - {"c", "json"}


def command(argv: list[str]) -> None:
    """`zoo probe`."""
    given = options.parse(ProbeArguments, "probe", argv)
    fields = {name: getattr(given, name) for name in OF_CONFIG}
    if given.weights is None and given.dataset is None:
        fields |= {name: getattr(TRANSFER, name) for name in ("weights", "dataset", "per_class")}
    show(Config(**fields), ProbeArguments, c=given.c, json=given.json)


def show(
    config: Config, what: Any, *, c: float = 1.0, json: bool = False, distributed: bool = False
) -> None:
    """Runs a probe and prints its figures.

    Args:
        config: which weights and data.
        what: the arguments that messages speak of.
        c: as in `train.probe`.
        json: prints JSON alone.
        distributed: with the other processes of a job.
    """
    if config.weights is None:
        raise UsageError("`--weights` is needed beside `--dataset`; `zoo weights` lists them")
    found = probe_run(config, c=c, reporter=runs.reporter(what, distributed, json))
    if not hosts.is_first():
        return None
    if json:
        return emit_json({**found.metrics, "directory": str(found.directory)})
    runs.print_figures(by_name(found.metrics, "probe"))
    return runs.last_line(found.directory, "checkpoint")


def refuse_updates(config: Config, default: Config) -> None:
    """Refuses options that are for updates, of which a probe makes none.

    Args:
        config: as the options say.
        default: as it is without options.

    Raises:
        UsageError: there is such an option.
    """
    allowed = {*OF_CONFIG, "overrides", "dtype"}
    differ = [n for n, v in vars(config).items() if v != getattr(default, n) and n not in allowed]
    if differ:
        raise UsageError(f"`{differ[0]}` is for training, and a `probe` makes no updates")
