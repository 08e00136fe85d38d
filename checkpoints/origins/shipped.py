"""Checkpoints that ship with the package."""

from pathlib import Path
from typing import Any

from checkpoints import released
from checkpoints.card import Card
from checkpoints.origins import run
from checkpoints.origins.request import Request


def claims(request: Request) -> bool:
    """A name of `list_weights` whose weights are here."""
    return request.is_text and directory(request) is not None


def read(request: Request) -> tuple[Card, dict[str, Any]]:
    """From the package's own folder."""
    return run.restored(directory(request))


def directory(request: Request) -> Path | None:
    """Where the weights lie inside the package, or None if they do not ship."""
    return released.shipped_directory(request.name)
