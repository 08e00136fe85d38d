"""Which directory a run writes into, and whether it may."""

import re
from collections.abc import Callable
from pathlib import Path

from train import config as configs
from train.config import Config
from zoo.errors import UsageError


def run_directory(config: Config, say: Callable[[str], None] = lambda _: None) -> Path:
    """The directory of a run, created: `config.out`, or a free name under runs/.

    With `resume` it is the existing one (without `out`: the newest of the same name), whose saved
    config must agree; what may differ and does is reported through `say`.

    Raises:
        UsageError: the directory holds another run, or this one and `resume` is not set, or it
            cannot be written.
    """
    directory = Path(config.out) if config.out else _default(config)
    saved = directory / "config.json"
    if config.resume and saved.exists():
        _check_same(config, saved, say)
    elif directory.exists() and not directory.is_dir():
        raise UsageError(f"`out` {directory} is a file; choose another `out`")
    elif directory.exists() and any(directory.iterdir()):
        hint = "add --resume to continue it, or " if saved.exists() else ""
        raise UsageError(f"`out` {directory} is not empty; {hint}choose another `out`")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"cannot make `out` {directory}: {reason}; choose another `out`"
        ) from error
    return directory


def _default(config: Config) -> Path:
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


def _check_same(config: Config, saved: Path, say: Callable[[str], None]) -> None:
    changes = configs.difference(config, saved)
    refused = {n: c for n, c in changes.items() if n not in configs.FREE}
    if refused:
        lines = [f"  {name}: {old!r} there, {new!r} here" for name, (old, new) in refused.items()]
        free = "batch size, steps, devices and --parallel"
        raise UsageError(
            f"{saved.parent} holds a run with another config; only {free} may change on "
            "resuming:\n" + "\n".join(lines)
        )
    for name, (old, new) in changes.items():
        if name not in ("out", "resume"):
            say(f"{name}: {old} before, now {new}")
