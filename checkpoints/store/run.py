"""The checkpoints of a run: its steps, the best, the latest, and which are kept."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

from checkpoints import manifest, paths
from checkpoints.card import Card
from checkpoints.retention import TOP1, Retention, rank
from checkpoints.store.bucket import remove_content
from checkpoints.store.restoring import read_card
from zoo.errors import UsageError

_STEPS = "steps"
_LEFTOVER = re.compile(r"\.\d{8,}\.(old|replaced|.+\.partial)")  # of a save or a deletion


def step_path(run: str | os.PathLike[str], step: int) -> Path | Any:
    """Where the checkpoint of a step of a run lies."""
    return paths.path(run) / _STEPS / f"{step:08d}"


def steps(run: str | os.PathLike[str]) -> list[tuple[int, Path | Any]]:
    """Steps and paths of the checkpoints of a run, oldest first, complete or not."""
    folder = paths.path(run) / _STEPS
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((int(path.name), path) for path in found if path.name.isdecimal())


def best(run: str | os.PathLike[str], by: str | None = None) -> Path | Any | None:
    """The complete checkpoint of a run with the highest `checkpoints.retention.rank`, or None.

    Of equal ones the newest counts. Checkpoints that were saved without an evaluation, and those
    whose card is damaged, do not take part.

    Args:
        run: its directory.
        by: figure that counts, as in `Retention.best`; None is what the newest card says.
    """
    cards = {path: card for _, path in steps(run) if (card := _card(path)) is not None}
    if by is None:
        by = _ranked_by(next(reversed(cards.values()), None))
    ranks = {path: rank(card.metrics, by) for path, card in cards.items()}
    ranked = [(found, path) for path, found in ranks.items() if found is not None]
    return max(ranked, key=lambda pair: (pair[0], pair[1].name))[1] if ranked else None


def latest(run: str | os.PathLike[str]) -> Path | Any | None:
    """The newest complete checkpoint of a run, or None; whether it is intact, `verify` tells."""
    complete = (path for _, path in reversed(steps(run)) if manifest.is_complete(path))
    return next(complete, None)


def keep(run: str | os.PathLike[str], retention: Retention) -> None:
    """Deletes what killed saves left, and the complete checkpoints that `retention` does not name.

    Whatever `save` did not write stays: a directory of another name or with files that no manifest
    lists. Only the process that owns the run may call this.
    """
    ours = [path for step, path in steps(run) if path == step_path(run, step)]
    complete = [path for path in ours if manifest.is_complete(path)]
    every = [p for p in complete if retention.every and int(p.name) % retention.every == 0]
    spared = {*complete[-retention.newest :], best(run, retention.best), *every}
    outdated = [path for path in complete if path not in spared]
    if paths.is_remote(run):
        killed = [path for path in ours if not (path / manifest.NAME).exists()]
        for path in (*outdated, *killed):
            (path / manifest.NAME).unlink(missing_ok=True)
            remove_content(path)
        return
    for path in outdated:
        if manifest.holds_nothing_else(path):
            # Renamed first: a checkpoint that is half deleted must not look like one.
            path.rename(path.with_name(f".{path.name}.old"))
    for leftover in (Path(run) / _STEPS).glob(".*"):
        if _LEFTOVER.fullmatch(leftover.name) and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)


def _card(checkpoint: Path | Any) -> Card | None:
    """The card of a complete checkpoint, if it can be read."""
    try:
        return read_card(checkpoint) if manifest.is_complete(checkpoint) else None
    except UsageError:
        return None


def _ranked_by(card: Card | None) -> str:
    """The figure by which a run ranks its checkpoints."""
    by = ((card and card.source) or {}).get("best")
    return by if isinstance(by, str) else TOP1
