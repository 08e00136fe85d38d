"""Checkpoints at addresses that are no local path, such as `gs://bucket/run`.

Orbax reaches only the storage that TensorStore knows. Here any file system that `etils.epath` can
address will do: a directory is written and checked locally and copied whole, its manifest last, so
that an interrupted copy does not look like a checkpoint.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from checkpoints import manifest
from checkpoints.card import Card
from checkpoints.paths import path
from zoo.errors import UsageError


def of_run(address: str, step: int | Literal["best"] | None) -> str:
    """The checkpoint of a step of a run, "best" or newest; the address itself if it is no run's.

    Raises:
        UsageError: the run has no such checkpoint.
    """
    folder = path(address) / "steps"
    if not folder.is_dir():
        return address
    found = {int(p.name): p for p in folder.iterdir() if p.name.isdecimal()}
    whole = {n: p for n, p in found.items() if (p / manifest.NAME).exists()}
    wanted = _best(whole) if step == "best" else max(whole, default=None) if step is None else step
    if wanted not in whole:
        held = ", ".join(map(str, sorted(whole))) or "none"
        raise UsageError(f"The run {address!r} has no checkpoint of step {step}; it has {held}.")
    return str(whole[wanted])


def _best(checkpoints: Mapping[int, Any]) -> int | None:
    cards = {n: Card.from_json((p / "card.json").read_text()) for n, p in checkpoints.items()}
    ranked = [(rank, n) for n, card in cards.items() if (rank := card.rank) is not None]
    return max(ranked)[1] if ranked else None


@contextmanager
def copied(address: str | os.PathLike[str]) -> Iterator[Path]:
    """A local directory with the content of an address, as long as the block lasts.

    Raises:
        UsageError: nothing is there.
    """
    source = path(address)
    if not source.is_dir():
        raise UsageError(f"There is no checkpoint directory {os.fspath(address)!r}.")
    with tempfile.TemporaryDirectory() as folder:
        _copy(source, Path(folder))
        yield Path(folder)


def upload(directory: Path, address: str | os.PathLike[str]) -> None:
    """Copies a checkpoint to an address, its manifest at the end.

    Raises:
        UsageError: something else is there.
    """
    target = path(address)
    if target.exists():
        if not (target / manifest.NAME).exists():
            raise UsageError(
                f"{os.fspath(address)!r} exists and is not a checkpoint, so it is not overwritten; "
                "choose a new address, or delete it."
            )
        target.rmtree()
    _copy(directory, target, but=manifest.NAME)
    (target / manifest.NAME).write_bytes((directory / manifest.NAME).read_bytes())


def _copy(source: Any, target: Any, but: str | None = None) -> None:
    """Copies files and folders below `source` into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for part in source.iterdir():
        if part.is_dir():
            _copy(part, target / part.name)
        elif part.name != but:
            (target / part.name).write_bytes(part.read_bytes())
