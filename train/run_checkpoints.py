"""What a run stores of itself, and from which of its checkpoints it goes on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax

import checkpoints
from checkpoints import store
from checkpoints.card import Card, current_versions
from train import divergence, hosts
from train.state import TrainState
from train.stored_state import from_stored, to_stored
from zoo.errors import UsageError
from zoo.parameters import Parameters

T = TypeVar("T")


class Progress(NamedTuple):
    """How far a run is.

    Attributes:
        step: updates made.
        examples: training images seen.
        window: metrics of each update that no row of the log has yet.
        devices: how many there were, or None if that is not known.
    """

    step: int = 0
    examples: int = 0
    window: tuple[dict[str, float], ...] = ()
    devices: int | None = None


def run_source(progress: Progress, started_from: str | None, best: str) -> dict[str, Any]:
    """`Card.source` of a checkpoint of a run: what `read_progress` reads again.

    Args:
        progress: how far the run is.
        started_from: name of the weights that it began with.
        best: figure by which it ranks its checkpoints, see `checkpoints.retention`.
    """
    names = progress.window[0] if progress.window else ()
    unlogged = {name: [float(m[name]) for m in progress.window] for name in names}
    return {
        "kind": "run",
        "started_from": started_from,
        "examples": progress.examples,
        "devices": progress.devices,
        "best": best,
        **({"unlogged": unlogged} if unlogged else {}),
    }


def run_card(start: Card, **facts: Any) -> Card:
    """The card of a checkpoint of a run that began with the network of `start`."""
    unlike: dict[str, Any] = {"fingerprint": None, "stored_as": None}  # trained, it is another
    return dataclasses.replace(start, versions=current_versions(), **unlike, **facts)


def read_progress(checkpoint: Path | Any) -> Progress:
    """How far a run was when it saved a checkpoint."""
    source = store.read_card(checkpoint).source or {}
    unlogged: dict[str, list[float]] = source.get("unlogged", {})
    window = tuple(
        dict(zip(unlogged, values, strict=True)) for values in zip(*unlogged.values(), strict=True)
    )
    return Progress(int(checkpoint.name), source["examples"], window, source.get("devices"))


def restore(
    checkpoint: Path | Any, card: Card, fresh: TrainState, parameters: Parameters | None = None
) -> TrainState:
    """The state in a checkpoint of a run.

    Args:
        checkpoint: one of the run's.
        card: of the network as the config has it now.
        fresh: the state of a run that begins, whose structure and whose infinities are right.
        parameters: what is trained, as in `train.create_state`.

    Raises:
        UsageError: it is damaged, of another network, or has diverged.
    """
    _check_same_network(checkpoint, card)
    tree = to_stored(fresh, parameters)
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
    found = store.restore(checkpoint, abstract)
    if paths := divergence.flaws(found, divergence.infinite(tree)):
        raise UsageError(
            f"The state in {str(checkpoint)!r} has diverged: {divergence.described(paths)} hold "
            "values that are not finite."
        )
    return from_stored(fresh, found, parameters)


def newest_usable(
    run: Path | Any, attempt: Callable[[Path | Any], T], say: Callable[[str], None]
) -> tuple[T | None, list[Path | Any]]:
    """What `attempt` makes of the newest checkpoint that it takes, and those that it refused.

    Args:
        run: the directory of a run.
        attempt: raises `UsageError` for a checkpoint that cannot be gone on from.
        say: is told of every checkpoint that is left out, and why.

    Returns:
        None if there are no checkpoints.

    Raises:
        UsageError: there are some, and none can be used.
    """
    refused: dict[Path | Any, UsageError] = {}
    for step, path in reversed(store.steps(run)):
        try:
            found = attempt(path)
        except UsageError as error:
            refused[path] = error
            continue
        for error in refused.values():
            say(f"going on from step {step}, for a newer checkpoint cannot be used: {error}")
        return found, list(refused)
    if refused:
        raise next(iter(refused.values()))
    return None, []


def set_aside(paths: list[Path | Any]) -> None:
    """Renames checkpoints of a run that cannot be used, so that they no longer count as its own."""
    hosts.agreed(lambda: "")  # nobody reads any more what is set aside now
    for path in paths if hosts.is_first() else ():
        free = (path.with_name(f"{path.name}.unusable{n or ''}") for n in range(1_000_000))
        path.rename(next(place for place in free if not place.exists()))


def save(
    directory: Path | Any,
    state: TrainState,
    card: Card,
    *,
    step: int,
    infinite: frozenset[str],
    parameters: Parameters | None = None,
) -> list[str]:
    """Writes a checkpoint of a run, unless the state has diverged.

    Args:
        directory: of the run.
        state: on every device.
        card: see `run_card`.
        step: updates made.
        infinite: `divergence.infinite` of the tree of a fresh state.
        parameters: what is trained, as in `train.create_state`.

    Returns:
        Paths of the leaves that are not finite; if there are any, nothing was written.
    """
    tree = to_stored(state, parameters)
    here = divergence.flaws(tree, infinite)
    paths = [path for told in hosts.of_all("\n".join(here)) for path in told.split("\n") if path]
    if not paths:
        checkpoints.save(store.step_path(directory, step), tree, card)
    return paths


def _check_same_network(saved: Path | Any, card: Card) -> None:
    """What is in a file that the config names may have changed since."""
    known = store.read_card(saved)
    if known.class_names != card.class_names:
        raise UsageError(
            f"{saved.parent.parent} was trained for the classes {known.class_names}, and the data "
            f"now has {card.class_names}; restore it, or choose another `out`"
        )
    there, here = known.overrides, card.overrides
    if changed := [n for n in there | here if there.get(n) != here.get(n)]:
        raise UsageError(
            f"{saved.parent.parent} holds a network with another `{changed[0]}`; restore what it "
            "was, or choose another `out`"
        )
