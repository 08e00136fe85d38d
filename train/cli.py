"""The command line: `zoo COMMAND --help`."""

import contextlib
import dataclasses
import errno
import importlib
import json
import logging
import os
import signal
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from checkpoints import atomic
from zoo.errors import UsageError, closest, printable

T = TypeVar("T")

# A command is imported when it is called, so that `zoo list` does not wait for optimisers.
COMMANDS = {
    "list": ("train.commands.show", "architectures of the zoo"),
    "info": ("train.commands.show", "everything known of one architecture or set of weights"),
    "weights": ("train.commands.show", "pretrained weights, by name"),
    "train": ("train.commands.fit", "train an architecture from scratch, or go on from weights"),
    "finetune": ("train.commands.fit", "adapt pretrained weights to a data set"),
    "evaluate": ("train.commands.use", "accuracy and loss of weights on a data set"),
    "predict": ("train.commands.use", "classes of images, with probabilities"),
    "convert": ("train.commands.convert", "weights to and from the names of other libraries"),
    "verify": ("train.commands.verify", "outputs of weights beside what they have to be"),
    "compile": ("train.commands.compile", "memory and cost of a training step, also on TPUs"),
    "doctor": ("train.commands.doctor", "versions, devices, caches; is the installation sound?"),
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
    lines = [f"  {name:10} {does}" for name, (_, does) in COMMANDS.items()]
    header = "usage: zoo COMMAND [OPTIONS]\n\nA functional model zoo in JAX.\n\ncommands:"
    return "\n".join([header, *lines, "\n`zoo COMMAND --help` explains each one's options."])


def run(name: str, argv: list[str]) -> int:
    """Runs a command; what the user can mend becomes one sentence and exit status 2."""
    with _one_sentence(name) as status, _interruptible(name), _news_of("checkpoints"):
        configure_jax()
        module = importlib.import_module(COMMANDS[name][0])
        getattr(module, f"{name}_command")(argv)
    return status[0]


def parse(
    what: Callable[..., T], name: str, argv: list[str], *, pairs: bool = False, **options: Any
) -> T:
    """Parses the arguments of a command from the signature or fields of `what`, and calls it.

    With `pairs`, each flag can be set and taken back, whatever its default: `--flip`, `--no-flip`.
    """
    import tyro

    config = (tyro.conf.OmitArgPrefixes, *(() if pairs else (tyro.conf.FlagCreatePairsOff,)))
    registry = tyro.constructors.ConstructorRegistry()
    for rule in (_optional, _method, _assignments):
        registry.primitive_rule(rule)
    return tyro.cli(
        what, prog=f"zoo {name}", args=argv, config=config, registry=registry, **options
    )


def _optional(kind: Any) -> Any:
    """Rule of tyro that reads `T | None` as T, or as None where that word is given.

    Its own rule calls the value `{None}|INT` in the help, and a wrong one by two errors.
    """
    from tyro.constructors import ConstructorRegistry, PrimitiveTypeInfo

    inner = [member for member in typing.get_args(kind.type) if member is not types.NoneType]
    if kind.type_origin is not types.UnionType or len(inner) != 1:
        return None
    spec: Any = ConstructorRegistry.get_primitive_spec(
        PrimitiveTypeInfo.make(inner[0], kind.markers)
    )
    return dataclasses.replace(
        spec,
        instance_from_str=lambda s: None if s == ["None"] else spec.instance_from_str(s),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda v: ["None"] if v is None else spec.str_from_instance(v),
    )


def _method(kind: Any) -> Any:
    """Rule of tyro for a method with arguments, `mixup:alpha=0.2`."""
    from tyro.constructors import PrimitiveConstructorSpec

    from train.config import Call

    if kind.type is not Call:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME:ARGUMENT=VALUE,...",
        instance_from_str=lambda words: Call.parsed(words[0]),
        is_instance=lambda value: isinstance(value, Call),
        str_from_instance=lambda call: [str(call)],
    )


def _assignments(kind: Any) -> Any:
    """Rule of tyro for fields with JSON values, `drop_path=0.1 aux_heads=true`."""
    from tyro.constructors import PrimitiveConstructorSpec

    from train.config import assignment

    if kind.type != dict[str, Any]:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="[FIELD=VALUE ...]",
        instance_from_str=lambda words: dict(map(assignment, words)),
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda fields: [f"{n}={json.dumps(v)}" for n, v in fields.items()],
    )


def configure_jax() -> None:
    """Keeps compiled programs between calls, in the user's cache directory if there can be one."""
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        directory = cache_directory() / "xla"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        if not os.access(directory, os.W_OK):
            return
        jax.config.update("jax_compilation_cache_dir", str(directory))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def cache_directory() -> Any:
    """The user's cache directory of this project."""
    from pathlib import Path

    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jax-functional-zoo"


@contextlib.contextmanager
def _one_sentence(name: str) -> Iterator[list[int]]:
    """Turns errors that the user can mend into a line on stderr and an exit status."""
    status = [0]
    try:
        yield status
    except UsageError as error:
        status[0] = _complain(name, str(error), 2)
    except Exception as error:
        signal_number = getattr(error, "signal_number", None)
        if signal_number is not None:
            status[0] = _complain(name, str(error), 128 + signal_number)
        elif (trouble := atomic.trouble(error)) is not None:
            status[0] = _complain(name, trouble, 2)
        else:
            raise


@contextlib.contextmanager
def _interruptible(name: str) -> Iterator[None]:
    """Lets Ctrl-C end a command at once and for certain; a run in progress saves first instead.

    Python's own exception waits for compilers to return, gets lost where compiled code calls back,
    and threads of that code crash while Python is taken down. So the process leaves without it, and
    where Python is waiting itself, a thread that hears of the signal sees to that. Whatever is
    written appears whole or not at all, so that nothing needs to be tidied up.
    """
    once = threading.Lock()

    def leave(number: int, frame: types.FrameType | None) -> None:
        if once.acquire(blocking=False):
            _complain(name, "interrupted; nothing was lost that was reported saved", 130)
            os._exit(130)

    def wait() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGINT and signal.getsignal(signal.SIGINT) is leave:
                leave(signal.SIGINT, None)
        os.close(reader)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.signal(signal.SIGINT, leave)
    wakened = signal.set_wakeup_fd(writer)
    threading.Thread(target=wait, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakened)
        signal.signal(signal.SIGINT, before)
        os.close(writer)  # the thread reads the end of the pipe


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


def _complain(name: str, message: str, status: int) -> int:
    with contextlib.suppress(OSError):  # the terminal may be closed
        print(printable(f"zoo {name}: {message}"), file=sys.stderr)
    return status


def emit_json(value: Any) -> None:
    """Prints a value as JSON on stdout, alone, for other programs to read."""
    print(json.dumps(value, indent=2, default=str))


if __name__ == "__main__":
    sys.exit(main())
