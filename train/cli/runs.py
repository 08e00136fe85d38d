"""What the commands that take the options of a run share: these, and what is printed."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import tyro

from checkpoints import paths
from train import hosts
from train.augment import Augment, calls_of, shortened
from train.calls import Call, assignment
from train.cli import arguments, defaults
from train.cli.options import spelled
from train.config import Config
from train.preview import show_batch
from train.recipes import DESCRIBED, TRAIN, Recipe
from train.report import Reporter, console, figures, table
from zoo.errors import printable

ConfigFile = Annotated[str | None, tyro.conf.arg(name="config")]


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of every command that takes those of a run; each has a default config of its own."""

    config: Config = TRAIN
    geometry: Augment = dataclasses.field(default_factory=Augment)
    """Crops, mirrors and small moves: short for `--augment`, before what that names."""
    recipe: str | None = None
    """Start from a recipe's settings; further options override them. `--recipe help` lists all."""
    file: ConfigFile = None
    """Start from the settings of a run: its directory or its config.json; options override them."""
    freeze: tuple[str, ...] = ()
    """Keep parameters whose paths match these regular expressions, as in `^stem ^stage1`; short for
    `--parameters frozen`."""
    lora: int | None = None
    """Train products of this rank beside kernels of attention and dense maps, and the head; short
    for `--parameters lora`, which has more options."""


def parse(kind: Any, name: str, argv: list[str], default: Any = None) -> Any:
    """Parses `argv` over the recipe, file or run that it names, if it does."""
    default = default or kind()
    if defaults.given(argv, "--recipe") == "help":
        _show_recipes()
        raise SystemExit(0)  # as `--help` does
    argv, overrides = _set_apart(argv)

    def parsed(config: Config) -> Any:
        # Flags that the other config has set may be given again, or taken back with --no-FLAG.
        pairs = config is not default.config
        short, others = shortened(calls_of(config.augment))
        given = dataclasses.replace(config, augment=others)
        start = dataclasses.replace(default, config=given, geometry=short)
        return arguments.parse(kind, name, argv, default=start, pairs=pairs)

    found = parsed(defaults.of(argv, default.config, lambda config: parsed(config).config))
    config = dataclasses.replace(
        found.config,
        overrides={**found.config.overrides, **overrides},
        parameters=(
            *(call for call in _short_forms(found) if call not in found.config.parameters),
            *found.config.parameters,
        ),
        augment=(*found.geometry.calls, *calls_of(found.config.augment)),
    )
    return dataclasses.replace(found, config=config)


def _short_forms(found: Any) -> Iterator[Call]:
    """What `--freeze` and `--lora` stand for."""
    if found.freeze:
        yield Call("frozen", {"patterns": list(found.freeze)})
    if found.lora is not None:
        yield Call("lora", {"rank": found.lora, "whole": "^head/", "convolutions": False})


def _show_recipes() -> None:
    cells = [
        [name, recipe.config.dataset or "yours", published(recipe), recipe.about]
        for name, recipe in DESCRIBED.items()
    ]
    columns = ["recipe", "on", "published", "what it is"]
    console().print(table(columns, cells, numbers=False))


def published(recipe: Recipe) -> str:
    """The published accuracy in percent, or nothing."""
    return "" if recipe.top1 is None else f"{100 * recipe.top1:.2f} %"


def reporter(what: Any, distributed: bool, json: bool) -> Reporter:
    """Says what a run does; first of all it joins the other processes, of which one speaks."""
    if distributed:
        hosts.join()
    return Reporter(
        console(stderr=json) if hosts.is_first() else None, lambda text: spelled(text, what)
    )


def show_first_batch(config: Config, file: str) -> None:
    """Draws what a run would begin with."""
    path = paths.local(file)
    count = show_batch(config, path)
    console().print(printable(f"drawn: {path}, {count} images"), soft_wrap=True)


def print_figures(evaluations: Mapping[str, dict[str, float | int]]) -> None:
    """A table with a row for each evaluation."""
    rows = {name: figures(metrics) for name, metrics in evaluations.items()}
    titles = list(next(iter(rows.values())))
    console().print(table(["", *titles], [[name, *row.values()] for name, row in rows.items()]))


def last_line(directory: Any, what: str = "checkpoint, metrics and curves") -> None:
    """Says where everything is."""
    text = printable(f"{what}: {directory}")
    console().print(text, soft_wrap=True)


def _set_apart(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Takes `--set FIELD=VALUE ...` out of arguments; it may be given several times."""
    rest, fields, inside = [], {}, False
    for word in argv:
        inside = word == "--set" or (inside and not word.startswith("-"))
        if not inside:
            rest.append(word)
        elif word != "--set":
            name, value = assignment(word)
            fields[name] = value
    return rest, fields
