"""`zoo weights`."""

import dataclasses
from typing import Any

from train.cli.arguments import parse
from train.cli.list import Pattern
from train.cli.output import emit_json
from train.report import print_table
from zoo.errors import UsageError, closest


def command(argv: list[str]) -> None:
    """`zoo weights`."""
    parse(show_weights, "weights", argv)


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
            _checked(card.source or {}),
        ]
        for card in cards
    ]
    columns = ["weights", "top-1", "licence", "px", "classes", "from", "checked on"]
    print_table(columns, cells)
    return None


ARGUMENTS = show_weights


def _licence(license: str | None) -> str:
    """The identifier, and that it forbids commercial use where it does."""
    commercial = license is None or "-nc-" not in license
    return (license or "not stated") + ("" if commercial else ", non-commercial")


def _checked(source: dict[str, Any]) -> str:
    """When somebody ran the very file; what ships is checked by the tests."""
    return "" if source.get("kind") == "shipped" else source.get("checked_on") or "never"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
