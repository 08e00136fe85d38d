"""What a run is evaluated on: its own data, and any number of others under names."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from checkpoints.preprocess import Preprocess
from checkpoints.retention import rank
from train import methods
from train.config import Config, Evaluation
from train.data import Dataset, evaluation_split, load_dataset
from train.data.pairing import paired
from train.data.relabelled import as_task
from train.evaluation import evaluate
from train.network import Network
from train.tta import viewed
from zoo.errors import UsageError, closest

Figures = dict[str, float | int]


class Measured(NamedTuple):
    """Data that a run is evaluated on, and how its examples become inputs."""

    data: Dataset
    preprocess: Preprocess


def open_data(config: Config, dataset: str, split: str) -> Dataset:
    """A split of a data set as a config wants it: where it lies, and what its labels are."""
    options = {"data_dir": config.data_dir, "skip_broken": config.skip_broken}
    return as_task(load_dataset(dataset, split, **options), config.task)


def open_own(config: Config) -> Dataset:
    """The data of a run's own evaluation."""
    return _open(config, Evaluation(split=config.eval_split))


def open_named(config: Config, network: Network) -> dict[str, Measured]:
    """The data of `config.evaluations`, labelled with the classes of the network.

    Raises:
        UsageError: there is no such data, it has other classes, the network does not take it, or
            `config.retention` goes by one that there is not.
    """
    of, slash, _ = config.retention.metric.rpartition("/")
    if slash and of not in config.evaluations:
        raise UsageError(
            f"`retention` goes by {config.retention.metric!r}, and `evaluations` has no {of!r}"
            f"{closest(of, config.evaluations)}"
        )
    opened = {}
    for name, wanted in config.evaluations.items():
        try:
            data = paired(_open(config, wanted), network.card, "the run")
            fields = vars(network.card.preprocess) | wanted.preprocess
            preprocess = type(network.card.preprocess).from_dict(fields)
            _require_takes(network, preprocess)
            preprocess = viewed(preprocess, wanted.tta)
        except UsageError as error:
            raise UsageError(f"evaluation {name!r}: {error}") from error
        opened[name] = Measured(data, preprocess)
    return opened


def measure(
    network: Network,
    variables: Any,
    own: Dataset,
    named: Mapping[str, Measured],
    batch_size: int,
    *,
    between: Callable[[], None] = lambda: None,
) -> Figures:
    """Figures of all evaluations: of the run's own as they are called, of others NAME/FIGURE.

    `between` is called before each batch of them.
    """
    found: Figures = {}
    every = {"": Measured(own, network.card.preprocess), **named}
    for name, (data, preprocess) in every.items():
        options: Any = {"preprocess": preprocess, "batch_size": batch_size, "between": between}
        figures = evaluate(network.model, variables, data, **options)
        found |= {f"{name}/{n}" if name else n: value for n, value in figures.items()}
    return found


def by_name(figures: Figures, own: str) -> dict[str, Figures]:
    """Figures of each evaluation; those of the run's own under the name `own`."""
    tables: dict[str, Figures] = {}
    for name, value in figures.items():
        of, _, figure = name.rpartition("/")
        tables.setdefault(of or own, {})[figure] = value
    return tables


def columns(figures: Figures) -> Figures:
    """Figures as a row of the log has them: eval_top1, NAME/top1."""
    return {n if "/" in n else f"eval_{n}": value for n, value in figures.items()}


def stalled(rows: Iterable[Mapping[str, Any]], best: str) -> int:
    """How many evaluations in a row, the last in a log, were no better than one before them.

    Args:
        rows: of the log.
        best: the figure, as in `config.retention`.
    """
    figures = (
        {n.removeprefix("eval_"): v for n, v in row.items() if _is_figure(n)} for row in rows
    )
    ranks = [found for found in (rank(f, best) for f in figures) if found is not None]
    return len(ranks) - 1 - ranks.index(max(ranks)) if ranks else 0


def _is_figure(column: str) -> bool:
    return column.startswith("eval_") or "/" in column


def _open(config: Config, wanted: Evaluation) -> Dataset:
    dataset = wanted.dataset or config.dataset
    if dataset is None:
        raise UsageError("`dataset` is needed: a tensorflow-datasets name or a folder of images")
    split = wanted.split or evaluation_split(dataset, config.data_dir)
    return methods.evaluated_on(config.objective, open_data(config, dataset, split))


def _require_takes(network: Network, preprocess: Preprocess) -> None:
    """Refuses inputs of a shape that the network does not take."""
    if preprocess.shape == network.card.preprocess.shape:
        return
    inputs = jax.ShapeDtypeStruct((1, *preprocess.shape), jnp.float32)
    try:
        jax.eval_shape(
            lambda v, x: network.model.apply(v, x, train=False), network.variables, inputs
        )
    except Exception as error:  # networks and their layers refuse in their own words
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"the network does not take inputs of shape {preprocess.shape}, and was made for "
            f"{network.card.preprocess.shape}: {reason}"
        ) from error
