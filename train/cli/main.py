"""The command line: `zoo COMMAND --help`."""

import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from checkpoints import atomic
from train.cli.caches import configure_jax
from train.cli.interruption import interruptible
from train.cli.output import complain
from zoo.errors import UsageError, closest, printable

# Each is a module beside this one, imported when it is called: `zoo list` waits for no optimisers.
COMMANDS = {
    "list": "architectures of the zoo",
    "info": "everything known of one architecture or set of weights",
    "weights": "pretrained weights, by name",
    "train": "train an architecture from scratch, or go on from weights",
    "finetune": "adapt pretrained weights to a data set",
    "evaluate": "accuracy and loss of weights on a data set",
    "predict": "classes of images, with probabilities",
    "convert": "weights to and from the names of other libraries",
    "verify": "outputs of weights beside what they have to be",
    "compile": "memory and cost of a training step, also on TPUs",
    "doctor": "versions, devices, caches; is the installation sound?",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    status = 128 + signal.SIGPIPE
    try:
        status = dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        # Whoever reads the output, such as `head`, has seen enough, or the terminal was closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE if error.errno == errno.EPIPE else status
    return status


def dispatch(argv: list[str]) -> int:
    """Finds the command that the first argument names and runs it."""
    name = argv[0] if argv else "--help"
    if name in ("--help", "-h"):
        print(usage())
        return 0
    if name == "--version":
        from importlib.metadata import version

        print(version("jax-functional-zoo"))
        return 0
    if name not in COMMANDS:
        print(f"zoo: no command {name!r}{closest(name, COMMANDS)}\n\n{usage()}", file=sys.stderr)
        return 2
    return run(name, argv[1:])


def usage() -> str:
    """What is printed for `zoo --help`."""
    lines = [f"  {name:10} {does}" for name, does in COMMANDS.items()]
    header = "usage: zoo COMMAND [OPTIONS]\n\nA functional model zoo in JAX.\n\ncommands:"
    return "\n".join([header, *lines, "\n`zoo COMMAND --help` explains each one's options."])


def run(name: str, argv: list[str]) -> int:
    """Runs a command; what the user can mend becomes one sentence and exit status 2."""
    with _one_sentence(name) as status, interruptible(name), _news_of("checkpoints"):
        configure_jax()
        importlib.import_module(f"train.cli.{name}").command(argv)
    return status[0]


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
