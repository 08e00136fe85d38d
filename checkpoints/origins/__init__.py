"""Where weights come from: one file per kind of place, tried in one order.

Every file has two functions: `claims` says whether it is the one that a request is meant for, and
`read` gives the card and the variables. The first that claims a request reads it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoints import paths, released, remote
from checkpoints.card import Card
from checkpoints.origins import file, folder, hub, published, run, shipped
from checkpoints.origins.request import Request, Step, with_step
from zoo.errors import UsageError

__all__ = ["local_directory", "read"]

ORIGINS = (shipped, published, hub, file, folder, run)


def read(
    name_or_path: str | os.PathLike[str],
    step: Step,
    file_options: Mapping[str, Any],
    cache: Path,
) -> tuple[Card, dict[str, Any]]:
    """Card and variables as they are stored, wherever that is.

    Args:
        name_or_path: what a user asks for.
        step: of a run, the step that is meant, "best", or None for the newest.
        file_options: what is known of a file; None where nothing is.
        cache: where converted weights are kept.

    Raises:
        UsageError: there is nothing of that name, or it cannot be had or is damaged.
    """
    try:
        name, step = with_step(name_or_path, step)
        request = Request(name, isinstance(name_or_path, str), step, file_options, cache)
        return _origin(request).read(request)
    except UsageError:
        raise
    except Exception as error:
        if paths.is_remote(name_or_path) and (trouble := remote.trouble(error)):
            raise UsageError(f"{os.fspath(name_or_path)!r} cannot be read: {trouble}.") from error
        raise


def _origin(request: Request) -> Any:
    """The first that claims the request."""
    origin = next((origin for origin in ORIGINS if origin.claims(request)), None)
    if origin is None:
        raise released.unknown(request.name)
    given = next((k for k, value in request.file_options.items() if value is not None), None)
    if origin is not file and given is not None:
        raise UsageError(f"`{given}` is for files of other libraries; {request.name!r} has a card.")
    return origin


def local_directory(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The checkpoint directory on this machine that would be read; None if another kind would."""
    name, step = with_step(name_or_path, None)
    request = Request(name, isinstance(name_or_path, str), step)
    if shipped.claims(request):
        return shipped.directory(request)
    if request.is_remote or any(o.claims(request) for o in (published, hub, folder)):
        return None
    return run.checkpoint(request) if request.place.is_dir() else None
