"""What the options of `zoo train` and `zoo finetune` override: a recipe, a file or a run."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from train import config_file, run_directory
from train.config import Config
from train.recipes import RECIPES
from zoo.errors import UsageError, closest


def of(argv: list[str], default: Config, parsed: Callable[[Config], Config]) -> Config:
    """The config that holds where no option is given.

    Args:
        argv: options of the command line.
        default: the command's own.
        parsed: reads `argv` over a config.
    """
    recipe, file = given(argv, "--recipe"), given(argv, "--config")
    if recipe is not None and file is not None:
        raise UsageError(f"give `recipe` or `config`, not both; got {recipe} and {file}")
    if recipe is not None:
        default = _recipe(recipe)
    elif file is not None:
        default = dataclasses.replace(_read(file), out=None)
    elif "--resume" in argv:
        default = _resumed(argv, default, parsed)
    return _without_other_length(default, argv)


def given(argv: list[str], option: str) -> str | None:
    """The value of `--option VALUE` or `--option=VALUE`, if it is there."""
    for word, following in itertools.zip_longest(argv, argv[1:]):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return None


def _recipe(name: str) -> Config:
    if name not in RECIPES:
        near = closest(name, RECIPES)
        raise UsageError(f"no recipe {name!r}{near or '; `--recipe help` lists all'}")
    return RECIPES[name]


def _resumed(argv: list[str], default: Config, parsed: Callable[[Config], Config]) -> Config:
    """The config of the run that is to be resumed; of none yet, the command's own."""
    directory = run_directory.existing(parsed(_without_other_length(default, argv)))
    if (directory / "config.json").exists():
        return dataclasses.replace(_read(directory), out=str(directory))
    return default


def _read(place: Any) -> Config:
    """A saved config, without what held for that call alone."""
    return dataclasses.replace(config_file.read(place), resume=False, take_over=False)


def _without_other_length(default: Config, argv: list[str]) -> Config:
    """`--steps` takes the place of a default in epochs, and the other way round."""
    for option, other in (("--steps", "epochs"), ("--epochs", "steps")):
        if given(argv, option) is not None:
            default = dataclasses.replace(default, **{other: None})
    return default
