"""A repository of the hub that someone downloaded: config.json beside the weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from checkpoints import build, manifest, readers, store, timm_hub
from checkpoints.card import Card, current_versions
from checkpoints.convert import import_weights
from checkpoints.origins.request import Request
from checkpoints.readers import shards
from zoo.errors import UsageError

_FILES = (*timm_hub.FILES, *(f"{name}{shards.SUFFIX}" for name in timm_hub.FILES))


def claims(request: Request) -> bool:
    """A directory with the configuration of a model in it that is no checkpoint of ours."""
    if request.is_remote or not (request.place / timm_hub.CONFIG).is_file():
        return False
    return not store.is_checkpoint(request.place) and not store.steps(request.place)


def read(request: Request) -> tuple[Card, dict[str, Any]]:
    """As the hub's identifier would give it."""
    folder = request.place
    card = timm_hub.described(folder / timm_hub.CONFIG)
    file = _weights(folder)
    model = build.create_model(card)
    tensors = import_weights(model, readers.read(file), source=card.format or "timm")
    source = {"kind": "folder", "file": file.name, "sha256": manifest.sha256(file)}
    card = replace(card, name=folder.resolve().name, source=source, versions=current_versions())
    return card, build.filled(build.abstract_variables(model, card), tensors)


def _weights(folder: Path) -> Path:
    for name in _FILES:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(
        f"{str(folder)!r} has a {timm_hub.CONFIG} and no weights beside it; there should be one of "
        f"{', '.join(timm_hub.FILES)}."
    )
