"""What a user asks for, taken apart."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from checkpoints import paths, store
from zoo.errors import UsageError, shown

HUB = ("hf-hub:", "hf_hub:", "hf://")  # what an identifier of the hub begins with
_LONGEST = 255  # bytes of a name, on any file system
Step = int | Literal["best"] | None


class Request(NamedTuple):
    """Weights that are asked for.

    Attributes:
        name: a name or a path, as it was given, without the step.
        is_text: whether it was given as text, which may be a name, and not as a path.
        step: of a run, the step that is meant, "best", or None for the newest.
        file_options: what `load` was told of a file; None where nothing was.
        cache: where converted weights are kept.
    """

    name: str
    is_text: bool
    step: Step = None
    file_options: Mapping[str, Any] = MappingProxyType({})
    cache: Path = Path()

    @property
    def is_remote(self) -> bool:
        """Whether it is the address of a bucket."""
        return paths.is_remote(self.name)

    @property
    def place(self) -> Path | Any:
        """It as a path or an address."""
        return paths.path(self.name)


def with_step(name_or_path: str | os.PathLike[str], step: Step) -> tuple[str, Step]:
    """Takes `RUN@120` and `RUN@best` apart.

    Raises:
        UsageError: a name that no file system can have.
    """
    name = os.fspath(name_or_path)
    if any(len(os.fsencode(part)) > _LONGEST for part in name.split("/")):
        raise UsageError(f"{shown(name)} is too long to be the name of a file, or of weights.")
    run, _, wanted = name.rpartition("@")
    is_step = (wanted == "best" or wanted.isdecimal()) and not name.startswith(HUB)
    if step is not None or not run or not is_step or paths.path(name).exists():
        return name, step
    if not store.steps(run):
        return name, step
    return run, "best" if wanted == "best" else int(wanted)
