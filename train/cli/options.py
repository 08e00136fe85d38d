"""Names of options, for messages that speak of the arguments of functions."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

import tyro

from checkpoints.retention import Retention

_BESIDE = {"overrides": "--set"}  # options that are read before tyro sees the rest
_WHOLE = (Retention,)  # dataclasses that one option gives
_NAMED = re.compile(r"`(\w+)`")


def spelled(text: str, what: Callable[..., Any]) -> str:
    """A message as the command line says it: `clip_norm` becomes `--clip-norm`.

    Args:
        text: names arguments between backticks.
        what: the function or dataclass that a command's options are made from; a name that is none
            of its stays as it is.
    """
    names = dict(options(what))
    return _NAMED.sub(lambda found: f"`{names.get(found[1], found[1])}`", text)


def options(what: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Pairs of an argument, a group's members among them, and what a user types for it."""
    hints = typing.get_type_hints(what, include_extras=True)
    for name in inspect.signature(what).parameters:
        kind = hints[name]
        notes = getattr(kind, "__metadata__", ())
        given = [note for note in notes if getattr(note, "name", None) is not None]
        metavars = [found for note in notes if (found := getattr(note, "metavar", None))]
        if dataclasses.is_dataclass(kind) and kind not in _WHOLE:
            yield from options(typing.cast(Any, kind))
        elif tyro.conf.Positional in notes:
            yield name, metavars[0] if metavars else name.upper()
        else:
            own = given[0].name if given else name
            yield own, _BESIDE.get(own, f"--{own.replace('_', '-')}")
