"""Where the parts of a checkpoint lie, and what a save may not overwrite."""

import os
from pathlib import Path
from typing import Any

from checkpoints import atomic, manifest, paths
from zoo.errors import UsageError

CARD, ARRAYS = "card.json", "arrays"
CONTENT = "v-"  # folders in which a checkpoint of a bucket has its files, see `manifest`


def is_checkpoint(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory claims to be a checkpoint, intact or not."""
    return (atomic.located(directory) / manifest.NAME).is_file()


def refuse_other_content(target: Path | Any) -> None:
    """Refuses to save where something lies that is no checkpoint.

    Raises:
        UsageError: it is not overwritten; says so.
    """
    if is_checkpoint(target) or not target.exists():
        return
    if paths.is_remote(target):
        is_other = not all(path.name.startswith(CONTENT) for path in target.iterdir())
    else:
        is_other = not target.is_dir() or any(target.iterdir())
    if is_other:
        raise UsageError(
            f"{str(target)!r} exists and is not a checkpoint, so it is not overwritten; choose a "
            "new directory."
        )


def explain(target: Path | Any, error: Exception) -> None:
    """Raises a `UsageError` instead of an error that the user can mend."""
    if trouble := atomic.trouble(error):
        raise UsageError(f"Could not save the checkpoint {str(target)!r}: {trouble}.") from error
