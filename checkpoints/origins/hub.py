"""Models on the Hugging Face hub that the catalogue does not list, in timm's form.

`hf-hub:owner/name` is timm's way to write one; `hf_hub:`, `hf://` and the bare `owner/name` are
understood too, all with `@revision` if wanted.
"""

import re
from pathlib import Path
from typing import Any

from checkpoints import timm_hub
from checkpoints.card import Card
from checkpoints.origins import published
from checkpoints.origins.request import HUB, Request
from zoo.errors import UsageError, shown

_ADDRESS = re.compile(r"hf://([^/]+(?:/[^/]+)?)/?")
_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@.+)?")
_BARE = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w./-]+)?")
_RUNS = "runs"  # where runs are written: what is missing there is no model of another's
_FILES = (".safetensors", ".pth", ".pt", ".bin", ".npz", ".h5", ".keras", ".tar", ".json")


def claims(request: Request) -> bool:
    """An identifier with one of the prefixes, or a bare one that is no path of this machine."""
    if not request.is_text:
        return False
    return identifier(request.name) != request.name or _is_bare(request.name)


def read(request: Request) -> tuple[Card, dict[str, Any]]:
    """From the cache, else from the hub."""
    if _ID.fullmatch(repo := identifier(request.name)) is None:
        raise UsageError(
            f"{shown(request.name)} names no model of the hub; write hf-hub:OWNER/NAME."
        )
    try:
        card = timm_hub.card(repo)
    except UsageError as error:
        if not _is_bare(request.name):
            raise
        raise UsageError(
            f"There is no checkpoint directory {request.name!r}, so it was looked for on the hub: "
            f"{error}"
        ) from error
    return published.of_card(card, request.cache)


def identifier(name: str) -> str:
    """`owner/name`, with `@revision` if there is one, however it is written."""
    if found := _ADDRESS.fullmatch(name):
        return found[1]
    return name.removeprefix(HUB[0]).removeprefix(HUB[1])


def _is_bare(name: str) -> bool:
    """Whether it is written like a path, and not even the folder of the owner is here."""
    if _BARE.fullmatch(name) is None or name.endswith(_FILES):
        return False
    owner = Path(name).parts[0]
    return owner != _RUNS and not Path(owner).exists()
