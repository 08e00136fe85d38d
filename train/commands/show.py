"""`zoo list`, `zoo info` and `zoo weights`."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any

import tyro

import zoo
from train.cli import emit_json, parse
from train.report import console, print_table, table
from zoo.catalogue import CATALOGUE
from zoo.errors import UsageError, closest

LONG = 40  # entries that a table still shows one by one
Pattern = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[PATTERN]")]
Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]


def list_command(argv: list[str]) -> None:
    """`zoo list`."""
    parse(show_models, "list", argv)


def weights_command(argv: list[str]) -> None:
    """`zoo weights`."""
    parse(show_weights, "weights", argv)


def info_command(argv: list[str]) -> None:
    """`zoo info`."""
    parse(show_info, "info", argv)


def show_models(
    pattern: Pattern = "*", /, *, family: str | None = None, json: bool = False
) -> None:
    """Lists architectures.

    Args:
        pattern: shell pattern of names, as in "resnet*".
        family: only this family, as in "resnet".
        json: print JSON instead of a table.
    """
    rows = [
        zoo.model_info(n) for n in sorted(zoo.list_models(pattern, family=family), key=_natural)
    ]
    if not rows:
        near = closest(pattern, CATALOGUE)
        raise UsageError(f"no architecture matches {pattern!r}{near or '; `zoo list` shows all'}")
    if json:
        return emit_json([row._asdict() for row in rows])
    cells = [
        [
            r.name,
            r.family,
            f"{r.parameters:,}",
            f"{r.gmacs:g}",
            "x".join(map(str, r.input_shape)),
            r.paper.rpartition("/")[2],
        ]
        for r in rows
    ]
    columns = ["architecture", "family", "parameters", "GMACs", "input", "arXiv"]
    print_table(columns, cells)
    return None


def show_weights(pattern: Pattern = "*", /, *, json: bool = False) -> None:
    """Lists pretrained weights.

    Args:
        pattern: shell pattern of names, as in "resnet50.*".
        json: print JSON instead of a table.
    """
    import checkpoints

    names = checkpoints.list_weights(pattern)
    if not names:
        near = closest(pattern, checkpoints.list_weights())
        raise UsageError(f"no weights match {pattern!r}{near or '; `zoo weights` shows all'}")
    cards = [checkpoints.weights_info(name) for name in names]
    if json:
        return emit_json([dataclasses.asdict(card) for card in cards])
    cells = [
        [
            card.name,
            _share(card.metrics.get("top1")),
            _licence(card.license),
            card.preprocess.image_size,
            card.num_classes or "none",
            (card.source or {}).get("kind", ""),
        ]
        for card in cards
    ]
    columns = ["weights", "top-1", "licence", "px", "classes", "from"]
    print_table(columns, cells)
    return None


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


def _facts(name: str) -> dict[str, Any]:
    import checkpoints
    from checkpoints import origins, store

    if name in CATALOGUE:
        return zoo.model_info(name)._asdict() | {"weights": checkpoints.list_weights(f"{name}.*")}
    weights = checkpoints.list_weights()
    if name in weights:
        return _readable(checkpoints.weights_info(name))
    if (directory := origins.local_directory(name)) is not None:
        return _readable(store.read_card(directory))
    if Path(name).exists():
        return _readable(checkpoints.load(name).card)
    raise UsageError(f"no architecture or weights {name!r}{closest(name, [*CATALOGUE, *weights])}")


def _natural(name: str) -> list[tuple[int, str]]:
    """Key of an order in which resnet8 comes before resnet18."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)]


def _readable(card: Any) -> dict[str, Any]:
    """The card as a dictionary, with the names of a label set spelled out."""
    return dataclasses.asdict(card) | {"class_names": card.labels}


def _licence(license: str | None) -> str:
    """The identifier, and that it forbids commercial use where it does."""
    commercial = license is None or "-nc-" not in license
    return (license or "not stated") + ("" if commercial else ", non-commercial")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


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
