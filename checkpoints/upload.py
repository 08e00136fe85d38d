"""Weights to the Hugging Face hub: a folder is prepared, then put there by one commit.

`huggingface_hub` uploads, under its own variables `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`.
"""

import os
import re
import tempfile
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from checkpoints import hub, hub_folder, refusals
from checkpoints.pretrained import Pretrained
from zoo.errors import UsageError, shown

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def push(
    loaded: Pretrained,
    repo: str,
    *,
    private: bool = False,
    folder: str | os.PathLike[str] | None = None,
) -> str:
    """Publishes weights as a repository of the hub; returns the address of the commit.

    `checkpoints.load("hf-hub:owner/name")` gives them back bit for bit, and so does timm where it
    has the architecture. `HF_TOKEN`, or the login of the hub's own program, says who you are.

    >>> checkpoints.push(checkpoints.load("runs/pets"), "someone/pets")
    'https://huggingface.co/someone/pets/commit/...'

    Args:
        loaded: the weights, as `checkpoints.load` gives them.
        repo: `owner/name`, made if it is not there; files of other names in it stay.
        private: whether a repository that is made is for its owner's eyes only.
        folder: where the files are written first and stay; None for a temporary place.

    Raises:
        UsageError: no such name, the folder cannot be written, or the hub refuses.
    """
    check_name(repo)
    with tempfile.TemporaryDirectory() as temporary:
        files = hub_folder.write(loaded, Path(folder or temporary), repo)
        return upload(files, repo, private, f"Weights of {loaded.card.name}")


def check_name(repo: str) -> None:
    """Refuses what is no `owner/name`.

    Raises:
        UsageError: as said.
    """
    if _REPO.fullmatch(repo) is None or ".." in repo or "--" in repo or repo.endswith(".git"):
        raise UsageError(
            f"`repo` must be OWNER/NAME of letters, digits, '-', '_' and '.', got {shown(repo)}."
        )


def upload(files: Sequence[Path], repo: str, private: bool, message: str) -> str:
    """Puts files into a repository by one commit, so that all are there or none.

    Args:
        files: what is uploaded, under the names that they have.
        repo: `owner/name`, made if it is not there.
        private: whether one that is made is for its owner's eyes only.
        message: of the commit.

    Raises:
        UsageError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(endpoint=hub.endpoint())
    added = [CommitOperationAdd(path.name, str(path)) for path in files]
    try:
        _make(api, repo, private)
        return api.create_commit(repo, added, commit_message=message).commit_url
    except Exception as error:  # the client's transport, and so its errors, differ by version
        raise UsageError(f"{repo} could not be uploaded: {_explanation(error, repo)}.") from error


def _make(api: Any, repo: str, private: bool) -> None:
    """Makes a repository that is not there; a token may write to one and make none."""
    from huggingface_hub import errors

    try:
        api.create_repo(repo, private=private)
    except errors.HfHubHTTPError as error:
        is_there = error.response.status_code == HTTPStatus.CONFLICT
        if not is_there and not _may_be_there(api, repo, error.response.status_code):
            raise


def _may_be_there(api: Any, repo: str, status: int) -> bool:
    return status == HTTPStatus.FORBIDDEN and api.repo_exists(repo)


def _explanation(error: Any, repo: str) -> str:
    """Why the hub did not take it, and what the user can do."""
    from huggingface_hub import errors, get_token

    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it to upload"
    if isinstance(error, RuntimeError) and error.__cause__ is not None:  # of one file
        error = error.__cause__
    owner, place = repo.partition("/")[0], hub.endpoint()
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == HTTPStatus.UNAUTHORIZED:
        known = "does not know the token" if get_token() else "wants to know who you are"
        return f"{place} {known}: set HF_TOKEN to one that may write, from {place}/settings/tokens"
    if status == HTTPStatus.FORBIDDEN:
        return (
            f"the token may not write there: ask {owner} for access, or set HF_TOKEN to one that "
            f"may, from {place}/settings/tokens"
        )
    if status is not None:
        return f"{place} refused it with status {status}: {refusals.advice(status)}"
    if status := refusals.status_of_proxy(error):
        return refusals.advice(status)
    first = hub.first_line(error)
    if isinstance(error, ValueError):  # such as front matter that the hub does not take
        return first
    return f"{place} cannot be reached: {first}; check the connection, then push again"
