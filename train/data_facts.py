"""data.json: the classes and files that a run has been trained on and evaluated with.

{"training": {"of": "pets:train", "examples": 84, "classes": {"beagle": "42 files, 5f0c...", ...},
              "contents": {"the first images of each class": "83d2..."}},
 "evaluation": ...}

Of every data set the number of examples and the names of the classes are compared. Where it has
`files`, pairs of a path and a label, so are the names and sizes of those of each class. Where it
has `contents`, so are the digests that these give: of the first eight images of each class, of the
arrays of a folder, of the files of a split of tensorflow-datasets. Of large files samples are read,
see `train.data.digest`. Times of files do not count: a copy is the same data.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoints import atomic
from train.data import Dataset
from zoo.errors import UsageError

NAME = "data.json"
SHOWN = 6  # differences in an error message


def facts(training: Dataset, evaluation: Dataset) -> dict[str, Any]:
    """What data.json says of the data of a run."""
    return {"training": _facts(training), "evaluation": _facts(evaluation)}


def check(directory: Path | Any, now: Mapping[str, Any]) -> None:
    """Refuses to go on with a run on other data than it began with.

    Raises:
        UsageError: it is other data; the difference is shown.
    """
    path = directory / NAME
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text())
        lines = [line for part, there in before.items() for line in _differences(part, there, now)]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error!r}); delete it, and the data as it is now is recorded"
        ) from error
    if lines:
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise UsageError(
            f"the data of {directory} has changed since it began:\n  "
            + "\n  ".join(lines[:SHOWN] + more)
            + "\nRestore it, or begin another run from these weights, with `weights` "
            f"{directory} and another `out`"
        )


def record(directory: Path | Any, now: Mapping[str, Any]) -> None:
    """Writes data.json, if there is none."""
    if not (directory / NAME).exists():
        atomic.write_text(directory / NAME, json.dumps(now, indent=1, ensure_ascii=False) + "\n")


def _facts(data: Dataset) -> dict[str, Any]:
    source: Any = data
    while not hasattr(source, "files") and hasattr(source, "data"):  # a view, as few_shot makes
        source = source.data
    classes: dict[str, str | None] = dict.fromkeys(data.class_names)
    if hasattr(source, "files"):
        classes |= _of_files(source)
    contents = getattr(source, "contents", dict)()
    of = f"{data.name}:{data.split}"
    return {"of": of, "examples": len(data), "classes": classes, "contents": contents}


def _of_files(source: Any) -> dict[str, str]:
    """For each class the number of its files, and a digest of their names and sizes."""
    listed: dict[int, list[str]] = defaultdict(list)
    for path, label in source.files:
        name = path.relative_to(source.name) if path.is_relative_to(source.name) else path
        listed[label].append(f"{name.as_posix()} {path.stat().st_size}")
    return {
        name: f"{len(listed[label])} files, {_digest(sorted(listed[label]))}"
        for label, name in enumerate(source.class_names)
    }


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _differences(part: str, there: dict[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line for each thing in which the data of a part is not what it was."""
    here = now[part]
    before, after = there["classes"], here["classes"]
    lines = [f"{part}: class {name!r} is gone" for name in before if name not in after]
    lines += [f"{part}: class {name!r} is new" for name in after if name not in before]
    for name in before:
        if name in after and before[name] != after[name]:
            lines.append(f"{part}: class {name!r} {_of_class(before[name], after[name])}")
    was, now_is = there.get("contents", {}), here["contents"]  # earlier versions had none
    lines += [
        f"{part}: {_of_contents(name, was[name], now_is.get(name))}"
        for name in was
        if not lines and was[name] != now_is.get(name)
    ]
    if not lines and list(before) != list(after):
        lines.append(f"{part}: the classes have another order")
    if not lines and there["examples"] != here["examples"]:
        lines.append(f"{part}: {there['examples']} examples there, {here['examples']} here")
    return lines


def _of_contents(name: str, before: str, after: str | None) -> str:
    if after is None:
        return f"{name} cannot be found any more"
    digests = len(before) == len(after) == 32
    return f"{name}: other contents" if digests else f"{name} {before} there, {after} here"


def _of_class(before: str | None, after: str | None) -> str:
    counts = [str(fact).partition(",")[0] for fact in (before, after)]
    if counts[0] == counts[1]:
        return f"has {counts[0]} as before, but others: their names or sizes differ"
    return f"had {counts[0]}, and has {counts[1]}"
