"""Checkpoints and runs, in a directory or at an address such as `gs://bucket/run`."""

from pathlib import Path
from typing import Any

from checkpoints import build, store
from checkpoints.card import Card
from checkpoints.origins.request import Request
from zoo.errors import UsageError


def claims(request: Request) -> bool:
    """What is a directory, or written as a path of one."""
    place = request.place
    is_there = place.is_dir() or store.is_checkpoint(place)
    return is_there or request.is_remote or not request.is_text or len(place.parts) > 1


def read(request: Request) -> tuple[Card, dict[str, Any]]:
    """The checkpoint of the step that is meant."""
    return restored(checkpoint(request))


def restored(directory: Path | Any) -> tuple[Card, dict[str, Any]]:
    """Card and variables of a checkpoint."""
    card = store.read_card(directory)
    abstract = build.abstract_variables(build.create_model(card), card)
    return card, store.restore_weights(directory, abstract, card)


def checkpoint(request: Request) -> Path | Any:
    """The checkpoint of a step of a run, its best or its newest; the path itself if it is none.

    Raises:
        UsageError: the run has no such checkpoint.
    """
    path, step = request.place, request.step
    steps = dict(store.steps(path))
    if not steps:
        if step is not None:
            raise UsageError(f"`step` is for runs, and {str(path)!r} is none.")
        return path
    if step is None:
        found, wanted = store.latest(path), "complete checkpoint"
    elif step == "best":
        found, wanted = store.best(path), "checkpoint that was evaluated when it was saved"
    else:
        held = ", ".join(map(str, steps))
        found, wanted = steps.get(step), f"checkpoint of step {step}; it has {held}"
    if found is None:
        trouble = _trouble(steps[max(steps)]) if step is None else ""
        raise UsageError(f"The run {str(path)!r} has no {wanted}.{trouble}")
    return found


def _trouble(checkpoint: Path | Any) -> str:
    """What is wrong with a checkpoint, as the end of a message."""
    try:
        store.verify(checkpoint)
    except UsageError as error:
        return f" {error}"
    return ""
