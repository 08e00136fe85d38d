"""`zoo info`."""

import dataclasses
from typing import Annotated, Any

import tyro

import zoo
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.report import console, table
from zoo.catalogue import CATALOGUE
from zoo.errors import UsageError, closest

LONG = 40  # entries that a table still shows one by one
Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]


def command(argv: list[str]) -> None:
    """`zoo info`."""
    parse(show_info, "info", argv)


def show_info(name: Name, /, *, json: bool = False) -> None:
    """Shows everything known of an architecture (resnet50) or of weights (resnet50.a1_in1k).

    Args:
        name: an architecture, weights, a run or checkpoint directory, or a file of weights.
        json: print JSON instead of a table.
    """
    facts = _facts(name)
    if json:
        return emit_json(facts)
    rows = [[k.replace("_", " "), _cell(v)] for k, v in facts.items()]
    console().print(table(["", ""], rows, numbers=False))
    return None


ARGUMENTS = show_info


def _facts(name: str) -> dict[str, Any]:
    import checkpoints
    from checkpoints import origins, paths, released, store

    if name in CATALOGUE:
        return zoo.model_info(name)._asdict() | {"weights": checkpoints.list_weights(f"{name}.*")}
    weights = checkpoints.list_weights()
    if name in weights:
        card = checkpoints.weights_info(name)
        published = name in released.list_published()
        return _readable(card) | ({"pinned": released.pinned(card)} if published else {})
    if (directory := origins.local_directory(name)) is not None:
        return _readable(store.read_card(directory))
    if not paths.is_remote(name) and paths.path(name).exists():
        return _readable(checkpoints.load(name).card)
    raise UsageError(f"no architecture or weights {name!r}{closest(name, [*CATALOGUE, *weights])}")


def _readable(card: Any) -> dict[str, Any]:
    """The card as a dictionary, with the names of a label set spelled out."""
    return dataclasses.asdict(card) | {"class_names": card.labels}


def _cell(value: Any) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, dict):
        return "\n".join(f"{k}: {_inline(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return _inline(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _inline(value: Any) -> str:
    """A value inside a cell; of a long list the beginning and the end."""
    if value is None:
        return "not stated"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_inline(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        shown = [*value[:4], "...", value[-1]] if len(value) > LONG else value
        return ", ".join(map(str, shown)) or "none"
    return str(value)
