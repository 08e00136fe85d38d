"""Which directory a run writes into, and whether it may."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from checkpoints import paths, remote
from train import config_file, data_facts, divergence, hosts, owner
from train.config import Config
from train.owner import Owner
from zoo.errors import UsageError


@contextlib.contextmanager
def owned(
    config: Config, facts: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[tuple[Path | Any, Callable[[], None]]]:
    """The `run_directory`, which belongs to this job alone as long as the block lasts.

    Args:
        config: of the run.
        facts: what `train.data_facts` says of the data; a run goes on with no other.
        say: is told news.

    Yields:
        The directory, and a function that raises `UsageError` once it has been deleted, or has
        been taken over by another process; of several processes the first alone can tell.
    """
    owners: list[Owner] = []

    def claim() -> str:
        directory = run_directory(config, say)
        owners.append(Owner(directory, take_over=config.take_over, say=say))
        check(config, directory, lambda _: None)  # again: a run may have been here in between
        data_facts.check(directory, facts)
        return str(directory)

    try:
        directory = paths.path(hosts.agreed(claim))
        hosts.require_shared(directory)
        yield directory, owners[0].check if owners else lambda: None
    finally:
        for mine in owners:
            mine.release()


def run_directory(config: Config, say: Callable[[str], None] = lambda _: None) -> Path | Any:
    """The directory of a run, created: `config.out`, or a free name under runs/.

    With `resume` it is the existing one (without `out`: the newest of the same name), whose saved
    config must agree; what may differ and does is reported through `say`.

    Raises:
        UsageError: the directory holds another run, or this one and `resume` is not set, or it
            cannot be written.
    """
    if not config.out and not config.resume:
        return _new_default(config)
    directory = existing(config)
    if paths.is_remote(directory):
        remote.require_writable(directory)
    if (directory / owner.NAME).exists():
        Owner(directory, take_over=config.take_over).release()  # or it says who is there
    paths.refuse_patterns(directory)
    check(config, directory, say)
    _make(directory)
    return directory


def existing(config: Config) -> Path | Any:
    """The directory that a config to be resumed means; it need not exist."""
    return paths.path(config.out) if config.out else _default(config)


def check(config: Config, directory: Path | Any, say: Callable[[str], None]) -> None:
    """Refuses a directory that holds something else than this run; see `run_directory`."""
    saved = directory / "config.json"
    if config.resume and saved.exists():
        _check_same(config, directory, say)
    elif directory.exists() and not directory.is_dir():
        raise UsageError(f"`out` {directory} is a file; choose another `out`")
    elif directory.exists() and any(map(_is_content, directory.iterdir())):
        hint = "add `resume` to continue it, or " if saved.exists() else ""
        raise UsageError(f"`out` {directory} is not empty; {hint}choose another `out`")


def _is_content(path: Path | Any) -> bool:
    """Whether a file is more than what a run leaves that was killed before it began."""
    begun = path.name.startswith(".config.json.") and path.name.endswith(".partial")
    return path.name != owner.NAME and not begun


def _make(directory: Path | Any, *, new: bool = False) -> None:
    if paths.is_remote(directory):
        return  # a bucket has no directories to be made
    try:
        directory.mkdir(parents=True, exist_ok=not new)
    except FileExistsError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"cannot make `out` {directory}: {reason}; choose another `out`"
        ) from error


def _new_default(config: Config) -> Path:
    """A directory of its own, also for each of several runs that begin at once."""
    while True:
        try:
            directory = _default(config)
            _make(directory, new=True)
            return directory
        except FileExistsError:
            continue


def _default(config: Config) -> Path | Any:
    origin, data = (Path(str(n)).name for n in (config.weights or config.model, config.dataset))
    stem = re.sub(r"[^\w.-]+", "_", f"{origin}-{data}")
    runs = Path("runs")
    taken = {
        int(found[1] or 1): path
        for path in runs.glob(f"{stem}*")
        if (found := re.fullmatch(re.escape(stem) + r"(?:-(\d+))?", path.name))
    }
    if config.resume and taken:
        return taken[max(taken)]
    number = max(taken, default=0) + 1
    return runs / (stem if number == 1 else f"{stem}-{number}")


def _check_same(config: Config, directory: Path | Any, say: Callable[[str], None]) -> None:
    changes = config_file.difference(config, config_file.read(directory))
    diverged = divergence.remembered(directory) is not None
    refused = {
        name: change
        for name, change in changes.items()
        if not config_file.is_free(name) and not (diverged and config_file.tames(name, *change))
    }
    if refused:
        lines = [f"  {_field(n)}: {old!r} there, {new!r} here" for n, (old, new) in refused.items()]
        free = "batch size, steps, devices, `mesh`, `parallel`, and when to log, evaluate and save"
        free += ", and lower rates or `clip_norm` since it diverged" if diverged else ""
        raise UsageError(
            f"{directory} holds a run with another config; only {free} may change on "
            "resuming:\n" + "\n".join(lines)
        )
    for name, (old, new) in changes.items():
        if name not in ("out", "resume", "take_over"):
            say(f"{_field(name)}: {old} before, now {new}")


def _field(path: str) -> str:
    """A field as a message names it: `optimization.rates.head` is "`rates` head"."""
    name, *inside = path.removeprefix("optimization.").removeprefix("augment.").split(".")
    return " ".join([f"`{name}`", *inside])
