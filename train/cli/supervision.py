"""`--supervise`: the same command without it in a process of its own, as often as it is killed."""

import itertools
import sys
from functools import partial
from typing import Any, NoReturn

from checkpoints import store
from train import run_directory, supervision
from train.cli.output import complain
from train.config import Config
from zoo.errors import UsageError


def run(name: str, argv: list[str], config: Config, *, restarts: int, alone: bool) -> NoReturn:
    """Runs a command under a supervisor, and leaves with its exit status.

    Args:
        name: of the command.
        argv: its arguments.
        config: what they come to.
        restarts: how many times it may be started again.
        alone: whether it is one run in one process.

    Raises:
        UsageError: it cannot be supervised.
    """
    if restarts < 1:
        raise UsageError(f"`--supervise` must be at least 1, got {restarts}")
    if not alone:
        raise UsageError(
            "`--supervise` takes one run in one process: several hosts are started again by what "
            "launched them, and of `--folds` those that have ended are not run again"
        )
    directory = run_directory.run_directory(config)
    first = [*_without(argv, "--supervise"), *([] if config.out else ["--out", str(directory)])]
    again = [*first, *([] if config.resume else ["--resume"])]
    program = [sys.executable, "-P", "-m", "jax_functional_zoo", name]

    def say(text: str) -> None:
        complain(name, text, 0)

    newest = partial(store.latest, directory)
    raise SystemExit(
        supervision.supervised([*program, *first], [*program, *again], restarts, newest, say)
    )


def _without(argv: list[str], option: str) -> list[str]:
    """Arguments without an option and its value."""
    before: tuple[Any, ...] = (None, *argv)
    return [
        word
        for last, word in itertools.pairwise(before)
        if last != option and word != option and not word.startswith(f"{option}=")
    ]
