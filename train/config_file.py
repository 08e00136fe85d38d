"""A config beside the results of its run, as readable JSON, and what may change on resuming."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from checkpoints import atomic, paths
from train.config import Config
from train.typed_json import from_json
from zoo.errors import UsageError

# Resuming may change how fast and how far a run goes, never what it computes.
FREE = (
    *(
        "batch_size",
        "accumulate",
        "steps",
        "epochs",
        "parallel",
        "mesh",
        "out",
        "resume",
        "take_over",
        "threads",
    ),
    *("data_dir", "tensorboard", "wandb", "log_every", "eval_every", "save_every"),
    *("evaluations", "retention", "early_stop", "profile"),
)


def save(config: Config, path: Path | Any) -> None:
    """Writes a config as indented JSON, whole or not at all."""
    atomic.remove_leftovers(path)
    atomic.write_text(path, json.dumps(dataclasses.asdict(config), indent=2) + "\n")


def read(place: str | os.PathLike[str]) -> Config:
    """The config in a file, or in the config.json of a run's directory.

    Fields that the file does not have, as an earlier version did not, take their defaults.

    Raises:
        UsageError: there is none, it cannot be read, or it has fields or values that no config has.
    """
    path = paths.path(place)
    if path.is_dir():
        path = path / "config.json"
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"no config can be read from {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(
            f"{path} does not hold the JSON of a config ({error}); restore it, or begin another "
            "run: what is under steps/ beside it loads as weights"
        ) from error
    return from_json(Config, values, str(path))


def completed(config: Config) -> Config:
    """A config to be resumed that names no data: what it leaves at the default, its run tells.

    Any other comes back as it is.
    """
    if not (config.resume and config.out and config.dataset is None):
        return config
    place = paths.path(config.out) / "config.json"
    if not place.exists():
        return config
    fresh = vars(Config())
    given = {name: value for name, value in vars(config).items() if value != fresh[name]}
    length = {"steps": None, "epochs": None} if given.keys() & {"steps", "epochs"} else {}
    return dataclasses.replace(read(place), **(length | given))


def difference(config: Config, saved: Config) -> dict[str, tuple[Any, Any]]:
    """Fields whose value is not that of a saved config: `{name: (saved, given)}`."""
    there, here = (_flat(json.loads(json.dumps(dataclasses.asdict(c)))) for c in (saved, config))
    names = there.keys() | here.keys()
    return {n: (there.get(n), here.get(n)) for n in sorted(names) if there.get(n) != here.get(n)}


def is_free(name: str) -> bool:
    """Whether a field, or a part of one, may change on resuming."""
    return name.partition(".")[0] in FREE


def tames(name: str, before: Any, now: Any) -> bool:
    """Whether the change of a field may keep a run that has diverged from doing so again."""
    if name == "optimization.clip_norm":
        return now is not None and (before is None or now < before)
    is_rate = name == "optimization.learning_rate" or name.startswith("optimization.rates.")
    return is_rate and None not in (before, now) and now < before


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves |= _flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves
