"""Runs a command of the program `zoo`, whose table is in `jax_functional_zoo/__main__.py`."""

import contextlib
import importlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from checkpoints import atomic
from train.cli.caches import configure_jax
from train.cli.interruption import interruptible
from train.cli.options import spelled
from train.cli.output import complain
from zoo.errors import UsageError, printable


def run(name: str, argv: list[str]) -> int:
    """Runs a command; what the user can mend becomes one sentence and exit status 2."""
    with _one_sentence(name) as status, interruptible(name), _news_of("checkpoints"):
        configure_jax()
        command = importlib.import_module(f"train.cli.{name}")
        with spelling(command.ARGUMENTS):
            command.command(argv)
    return status[0]


@contextlib.contextmanager
def spelling(what: Callable[..., Any]) -> Iterator[None]:
    """Names the options of a command in errors that name the arguments of functions."""
    try:
        yield
    except UsageError as error:
        raise UsageError(spelled(str(error), what)) from error


@contextlib.contextmanager
def _one_sentence(name: str) -> Iterator[list[int]]:
    """Turns errors that the user can mend into a line on stderr and an exit status."""
    status = [0]
    try:
        yield status
    except UsageError as error:
        status[0] = complain(name, str(error), 2)
    except Exception as error:
        signal_number = getattr(error, "signal_number", None)
        if signal_number is not None:
            status[0] = complain(name, str(error), 128 + signal_number)
        elif (trouble := atomic.trouble(error)) is not None:
            status[0] = complain(name, trouble, 2)
        else:
            raise


@contextlib.contextmanager
def _news_of(package: str) -> Iterator[None]:
    """Shows what a package logs, such as what it took off a file's names, on stderr."""
    logger, handler = logging.getLogger(package), logging.StreamHandler()
    handler.setFormatter(_Printable())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
