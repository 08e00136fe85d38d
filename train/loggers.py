"""Other places for the rows of metrics.jsonl: TensorBoard and Weights & Biases, each an extra."""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from checkpoints import installation
from train import hosts
from train.config import Config
from train.metrics_log import Row
from zoo.errors import UsageError

Logger = Callable[[Row], None]


def require_libraries(config: Config) -> None:
    """Refuses, before anything is written, what is not installed.

    Raises:
        UsageError: `config` asks for a library that cannot be imported.
    """
    if config.tensorboard:
        _library("tensorboardX", "tensorboard")
    if config.wandb is not None:
        _library("wandb", "wandb")


@contextlib.contextmanager
def loggers(config: Config, directory: Path | Any, step: int) -> Iterator[list[Logger]]:
    """Opens what the config asks for, and closes it however the run ends.

    Args:
        config: `tensorboard` writes event files to tensorboard/ in the run's directory, `wandb`
            names the project of a run there.
        directory: of the run; a resumed one goes on in the same place.
        step: where the run goes on from; what was logged later counts no more.
    """
    with contextlib.ExitStack() as stack:
        opened: list[Logger] = []
        if config.tensorboard and hosts.is_first():
            opened.append(stack.enter_context(_tensorboard(directory, step)))
        if config.wandb is not None and hosts.is_first():
            opened.append(stack.enter_context(_wandb(config, directory)))
        yield opened


@contextlib.contextmanager
def _tensorboard(directory: Path | Any, step: int) -> Iterator[Logger]:
    library = _library("tensorboardX", "tensorboard")
    writer = library.SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1)

    def log(row: Row) -> None:
        for name, value in row.items():
            if name != "step":
                writer.add_scalar(name, value, int(row["step"]))

    with contextlib.closing(writer):
        yield log


@contextlib.contextmanager
def _wandb(config: Config, directory: Path | Any) -> Iterator[Logger]:
    library = _library("wandb", "wandb")
    run = library.init(
        project=config.wandb,
        name=directory.name,
        dir=str(directory) if isinstance(directory, Path) else None,
        config=dataclasses.asdict(config),
        resume="auto",  # goes on with a run of this directory that did not end well
    )
    try:
        yield lambda row: run.log(dict(row), step=int(row["step"]))
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"`{extra}` needs {name}, which is not installed: {installation.command(extra)}"
        ) from error
