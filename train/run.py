"""A run in progress: what stays the same, and what an update changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jax.sharding import Mesh

from train.beginning import Rank
from train.loggers import Logger
from train.metrics_log import MetricsLog
from train.plan import Plan
from train.report import Reporter
from train.run_checkpoints import Progress
from train.state import TrainState


class Place(NamedTuple):
    """Where a run writes and speaks.

    Attributes:
        directory: of the run.
        require_ours: raises `UsageError` if the directory is gone, or another's.
        saved_at: is told of every save.
        reporter: says what happens.
    """

    directory: Path | Any
    require_ours: Callable[[], None]
    saved_at: Callable[[Path | Any], None]
    reporter: Reporter


class Run(NamedTuple):
    """What stays the same while a run trains.

    Attributes:
        plan: what is to be done.
        place: where.
        mesh: devices that hold the state.
        infinite: leaves that may hold an infinity, see `train.divergence`.
        step: the update, compiled.
        batches: of training data, from where the run goes on.
        share: of the devices' peak for each example per second, or None if it is not known.
        log: of metrics.
        loggers: called with every row of the log too.
        told: notices that the machine is to be stopped, for which nothing was saved yet.
    """

    plan: Plan
    place: Place
    mesh: Mesh
    infinite: frozenset[str]
    step: Callable[..., Any]
    batches: Any
    share: float | None
    log: MetricsLog
    loggers: list[Logger]
    told: list[str]


class Now(NamedTuple):
    """What an update changes.

    Attributes:
        state: of the network and its training.
        progress: how far the run is.
        best: rank of its best save.
        stalled: evaluations in a row that were no better than the best before them.
    """

    state: TrainState
    progress: Progress
    best: Rank | None
    stalled: int = 0
