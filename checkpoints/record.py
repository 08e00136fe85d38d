"""Fingerprints into the catalogue and into cards."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from checkpoints import origins, released, store
from checkpoints.card import Card
from zoo.errors import UsageError


def check(name_or_path: str | os.PathLike[str]) -> None:
    """Refuses weights that have no card to write to.

    Raises:
        UsageError: a file, a hub identifier or a remote address.
    """
    _place(name_or_path)


def write(name_or_path: str | os.PathLike[str], card: Card, fingerprint: dict[str, Any]) -> None:
    """Records the fingerprint of weights, and of downloaded ones also what was downloaded.

    Args:
        name_or_path: what was loaded; its row of the catalogue or its card is rewritten.
        card: the card that came with it.
        fingerprint: see `checkpoints.fingerprint`.

    Raises:
        UsageError: there is no place for it, or it cannot be written.
    """
    directory = _place(name_or_path)
    if directory is not None:
        known = store.read_card(directory)
        store.rewrite_card(directory, replace(known, fingerprint=fingerprint))
    else:
        released.record(card, fingerprint)


def _place(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The checkpoint that holds the card; None for a row of the catalogue."""
    directory = origins.local_directory(name_or_path)
    if directory is None and os.fspath(name_or_path) not in released.list_weights():
        raise UsageError(
            f"{os.fspath(name_or_path)!r} has no card to record a fingerprint in; make it a "
            "checkpoint directory on this machine first, with `zoo convert ... --out DIRECTORY`."
        )
    return directory
