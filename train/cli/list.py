"""`zoo list`."""

import re
from typing import Annotated

import tyro

import zoo
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.report import print_table
from zoo.catalogue import CATALOGUE
from zoo.errors import UsageError, closest

Pattern = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[PATTERN]")]


def command(argv: list[str]) -> None:
    """`zoo list`."""
    parse(show_models, "list", argv)


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


ARGUMENTS = show_models


def _natural(name: str) -> list[tuple[int, str]]:
    """Key of an order in which resnet8 comes before resnet18."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)]
