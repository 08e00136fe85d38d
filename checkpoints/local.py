"""A file of weights on this machine, to a card and variables."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zoo
from checkpoints import manifest, readers, recognise
from checkpoints.card import Card, current_versions
from checkpoints.preprocess import Preprocess
from zoo.errors import UsageError

_log = logging.getLogger(__name__)


def load_file(
    path: Path,
    architecture: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> tuple[Card, dict[str, Any]]:
    """Card and variables of a file in any format of `readers`.

    Args:
        path: the file.
        architecture: name in `zoo.list_models()`; None for the one in the file's name.
        overrides: fields of the model that differ from the catalogue's.
        source: library whose names the file uses; None to find out.

    Raises:
        UsageError: the file cannot be read, or does not fit the architecture.
    """
    contents = readers.read_contents(path)
    for note in contents.notes:
        _log.info("%s: %s", path, note)
    architecture = architecture or _architecture(path, contents.tensors)
    try:
        found = recognise.convert(architecture, overrides or {}, contents.tensors, source)
    except UsageError as error:
        raise UsageError(f"{str(path)!r} is no file of {architecture}: {error}") from error
    card = Card(
        name=path.name,
        architecture=architecture,
        overrides=dict(overrides or {}),
        num_classes=found.num_classes,
        preprocess=_preprocess(architecture, overrides or {}, found.channels),
        source={
            "kind": "file",
            "file": path.name,
            "sha256": manifest.sha256(path),
            "checked": "names and shapes only: no published hash is known for this file",
            "notes": list(contents.notes),
        },
        format=found.source,
        versions=current_versions(),
    )
    return card, found.variables


def _architecture(path: Path, tensors: Mapping[str, Any]) -> str:
    name = recognise.named_in(path.name)
    is_keras = any(key.endswith("/kernel") for key in tensors)
    if name and is_keras and f"{name}_keras" in zoo.list_models():
        return f"{name}_keras"
    if name:
        return name
    fits = recognise.fitting(tensors)
    hint = f", as in `architecture={fits[0]!r}`" if fits else ""
    known = f" Its tensors fit {' or '.join(fits)}." if fits else ""
    raise UsageError(
        f"{str(path)!r} does not say which model it is for; give `architecture=`{hint}.{known}"
    )


def _preprocess(architecture: str, overrides: Mapping[str, Any], channels: int) -> Preprocess:
    """The catalogue's size; the rest is what most weights of the field expect."""
    size = overrides.get("image_size", zoo.model_info(architecture).image_size)
    usual = Preprocess(image_size=size if isinstance(size, int) else min(size))
    return usual if channels == usual.channels else usual.with_channels(channels)
