"""Catalogue of released weights: one card per set, found without network.

Published ones are rows of `released.json`, data like any other, which `scripts/released.py` writes
from the publishers' own tables; those that the project trained itself ship as checkpoint
directories `released/<name>/` inside the package.
"""

import fnmatch
import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zoo
from checkpoints import store
from checkpoints.card import Card
from zoo.errors import UsageError, closest, shown


def list_weights(pattern: str = "*") -> list[str]:
    """Sorted names, `architecture.tag`, of the released weights that match a shell pattern."""
    names = {*_published(), *_shipped()}
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))


def list_published() -> list[str]:
    """Names of the weights that others published and that do not ship with the package."""
    return list(_published())


def weights_info(name: str) -> Card:
    """The card of a set of released weights.

    Raises:
        UsageError: no such weights; the tags of the architecture or the closest names are shown.
    """
    if name in _shipped():
        return store.read_card(_shipped()[name])
    if name in _published():
        return _published()[name]
    raise unknown(name)


def shipped_directory(name: str) -> Path | None:
    """Where a set of weights lies inside the package, or None if it is not shipped."""
    return _shipped().get(name)


def record(card: Card, fingerprint: dict[str, Any]) -> None:
    """Adds a fingerprint to a published row, and fixes the file that it was computed from.

    Args:
        card: of weights that were downloaded; its source says which commit and content was seen.
        fingerprint: see `checkpoints.fingerprint`.

    Raises:
        UsageError: the catalogue cannot be written.
    """
    path, seen = _package() / _CATALOGUE, card.source or {}
    rows = json.loads(path.read_text(encoding="utf-8"))
    for row in rows:
        if row["name"] == card.name:
            row["fingerprint"] = fingerprint
            row["source"] |= {"sha256": seen["sha256"], "checked_on": _today()}
            row["source"] |= {"revision": seen["commit"]} if "commit" in seen else {}
    partial = path.with_name(f".{_CATALOGUE}.partial")
    try:
        partial.write_text(as_text(rows), encoding="utf-8")
        partial.rename(path)
    except OSError as error:
        raise UsageError(f"The catalogue {str(path)!r} cannot be written: {error}.") from error
    _published.cache_clear()


def pinned(card: Card) -> str:
    """Whether another file under the name of published weights would be noticed, and by what."""
    source = card.source or {}
    if source.get("checked_on"):
        return f"yes, by its SHA-256; checked on {source['checked_on']}"
    if source.get("sha256"):
        return "yes, by its SHA-256; never run here"
    stated = [text for key, text in _STATED.items() if source.get(key)]
    if stated:
        return f"in part, by {stated[0]} that its publisher states; never checked"
    return "no: nobody has recorded its SHA-256, and a changed file would not be noticed"


_STATED = {"sha256_prefix": "the first digits of the SHA-256", "md5": "the MD5"}


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The catalogue as it is stored: JSON, one row a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f"[\n{lines}\n]\n"


def unknown(name: str) -> UsageError:
    """What is wrong with a name that is none of weights."""
    names = list_weights()
    if tags := [known for known in names if known.startswith(f"{name}.")]:
        return UsageError(
            f"{name!r} is an architecture; choose one of its weights: {', '.join(tags)}."
        )
    if name in zoo.list_models():
        return UsageError(
            f"{name!r} is an architecture without released weights; train it from "
            f"`zoo.create_model({name!r})`."
        )
    hint = closest(name, names) or "."
    return UsageError(
        f"{shown(name)} is no directory and none of the weights that `zoo weights` lists{hint}"
    )


def _package() -> Path:
    return Path(str(importlib.resources.files("checkpoints")))


_CATALOGUE = "released.json"


@functools.cache
def _shipped() -> dict[str, Path]:
    folder = _package() / "released"
    return (
        {p.name: p for p in folder.iterdir() if store.is_checkpoint(p)} if folder.is_dir() else {}
    )


@functools.cache
def _published() -> dict[str, Card]:
    rows = json.loads((_package() / _CATALOGUE).read_text(encoding="utf-8"))
    return {row["name"]: _counted(Card.from_dict(row)) for row in rows}


def _counted(card: Card) -> Card:
    """With the number of parameters that the catalogue of architectures knows exactly."""
    info = zoo.model_info(card.architecture)
    same = not card.overrides and card.num_classes == info.num_classes
    return replace(card, parameters=info.parameters) if same else card
