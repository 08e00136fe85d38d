"""Weights that others published: fetched and converted once, then from the cache."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from checkpoints import build, download, hub, readers, released, store
from checkpoints.card import Card, current_versions
from checkpoints.convert import import_weights
from checkpoints.origins import wheel
from checkpoints.origins.request import Request
from checkpoints.readers import archive
from zoo.errors import UsageError

_MOST_PER_PARAMETER = 64  # bytes in a training checkpoint: weights, averages, an optimiser's state


def claims(request: Request) -> bool:
    """A name of `list_weights`."""
    return request.is_text and request.name in released.list_published()


def read(request: Request) -> tuple[Card, dict[str, Any]]:
    """From the cache, else from where the catalogue says."""
    return of_card(released.weights_info(request.name), request.cache)


def of_card(card: Card, cache: Path) -> tuple[Card, dict[str, Any]]:
    """Card and variables of the weights that the source of a card tells where to get.

    Raises:
        UsageError: they cannot be had, or do not fit the card's network.
    """
    source = card.source or {}
    if source.get("kind") == "manual":
        raise UsageError(
            f"{card.name} cannot be downloaded by a program. {source['how']} Then use "
            f"`checkpoints.load(path, architecture={card.architecture!r})`."
        )
    model = build.create_model(card)
    abstract = build.abstract_variables(model, card)
    kept = cache / file_name(card.name)
    try:
        earlier = store.read_card(kept)
        if _is_of(source, earlier.source or {}):
            found = replace(card, source=earlier.source, versions=earlier.versions)
            return found, store.restore_weights(kept, abstract, found)
    except UsageError:  # not there yet, damaged, or of an earlier version of the architecture
        pass
    path, seen = _fetched(source, cache, card.parameters)
    tensors = import_weights(model, readers.read(path), source=card.format or "timm")
    variables = build.filled(abstract, tensors)
    card = replace(card, source={**source, **seen}, versions=current_versions())
    try:
        store.save(kept, variables, card)
    except UsageError as error:
        warnings.warn(f"{card.name} will be converted again next time. {error}", stacklevel=5)
    return card, variables


def file_name(name: str) -> str:
    """A name for a directory of the cache, whatever a hub or a user calls a revision."""
    return re.sub(r"[^\w.@-]", "--", name).lstrip(".")


def _is_of(source: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Whether weights that were fetched once are those that the source means now."""
    same_content = source.get("sha256") in (None, seen.get("sha256"))
    revision = source.get("revision")
    return same_content and revision in (None, seen.get("revision"), seen.get("commit"))


def _fetched(
    source: Mapping[str, Any], cache: Path, parameters: int | None
) -> tuple[Path, dict[str, str]]:
    """The file of a source with so many parameters, and what was seen of it."""
    if source["kind"] == "wheel":
        path, sha256 = wheel.find(source)
        return path, {"sha256": sha256}
    if "url" in source:
        hashes = source.get("sha256"), source.get("md5")
        most = None if parameters is None else _MOST_PER_PARAMETER * parameters + archive.SLACK
        path, sha256 = download.fetch_url(source["url"], cache / "downloads", *hashes, most)
        return path, {"sha256": sha256}
    path, sha256 = hub.fetch(
        source["repo"], source["file"], source.get("revision"), source.get("sha256")
    )
    commit = hub.commit_of(path)
    return path, {"sha256": sha256} | ({"commit": commit} if commit else {})
