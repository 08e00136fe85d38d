"""The program `zoo`, as `python -m jax_functional_zoo` too: ours from any working directory.

What needs no command is answered here, without waiting for JAX to be imported.
"""

import difflib
import errno
import os
import signal
import sys
from collections.abc import Sequence

# Each is a module of `train.cli`, imported when it is called: `zoo list` waits for no optimisers.
COMMANDS = {
    "list": "architectures of the zoo",
    "info": "everything known of one architecture or set of weights",
    "weights": "pretrained weights, by name",
    "train": "train an architecture from scratch, or go on from weights",
    "finetune": "adapt pretrained weights to a data set",
    "probe": "fit a linear classifier to features of weights",
    "evaluate": "accuracy and loss of weights on a data set",
    "predict": "classes of images, with probabilities",
    "compress": "a network in fewer bytes, at what price",
    "robust": "accuracy under attack, and how much of it is certain",
    "explain": "where in photographs a network finds its answer",
    "convert": "weights to and from the names of other libraries",
    "bench": "times of networks beside other implementations",
    "export": "weights as a program that needs nothing of this project",
    "push": "publish weights on the hub",
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
        print(version())
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name[:200], COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(f"zoo: no command {name!r}{hint}\n\n{usage()}", file=sys.stderr)
        return 2
    from train.cli.main import run  # ours: `jax_functional_zoo` has been imported to get here

    return run(name, argv[1:])


def usage() -> str:
    """What is printed for `zoo --help`."""
    lines = [f"  {name:10} {does}" for name, does in COMMANDS.items()]
    header = "usage: zoo COMMAND [OPTIONS]\n\nA functional model zoo in JAX.\n\ncommands:"
    return "\n".join([header, *lines, "\n`zoo COMMAND --help` explains each one's options."])


def version() -> str:
    """The version that is installed."""
    from importlib import metadata

    try:
        return metadata.version("jax-functional-zoo")
    except metadata.PackageNotFoundError:
        return "not installed: these packages were copied, without their metadata"


if __name__ == "__main__":
    sys.exit(main())
