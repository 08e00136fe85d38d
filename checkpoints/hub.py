"""Files from the Hugging Face hub, every byte checked.

`huggingface_hub` downloads, locks and caches, and resumes where a connection broke, under its own
variables `HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and `HF_TOKEN`. It compares sizes only, so the
content is hashed here against what the server announced: a file that differs is deleted and
refused.
"""

import contextlib
import hashlib
import inspect
import os
import re
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from checkpoints import atomic, refusals, timeouts
from checkpoints.manifest import sha256 as sha256_of
from zoo.errors import UsageError

MOST = 64 << 30  # bytes of a file of weights


class TooLongError(Exception):
    """A download brings more than it was said to."""


def fetch(
    repo: str, file: str, revision: str | None = None, sha256: str | None = None
) -> tuple[Path, str]:
    """Path of a file of a model repository, downloaded if necessary, and its SHA-256.

    Args:
        repo: `owner/name`.
        file: path inside the repository.
        revision: branch, tag or commit; None is the main branch.
        sha256: content that is demanded, whatever the server announces.

    Raises:
        UsageError: the file does not exist, cannot be had now, or has the wrong content; in the
            last case it is not kept.
    """
    where = f"{file} of {repo}" + (f" at {revision}" if revision else "")
    timeouts.seconds(timeouts.ANSWER, timeouts.PIECE)  # which the client does not check
    try:
        path, announced = _download(repo, file, revision)
    except Exception as error:  # the client's transport, and so its errors, differ by version
        raise UsageError(f"{where} {_explanation(error)}.") from error
    digest = sha256_of(path)
    if not _agrees(path, digest, sha256) or not _agrees(path, digest, announced):
        with contextlib.suppress(OSError):  # a cache that cannot be written
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        next_step = "It was deleted; try again" if not path.exists() else f"Delete {str(path)!r}"
        raise UsageError(
            f"The download of {where} is damaged, or was changed: its SHA-256 is {digest}, "
            f"expected {sha256 or announced}. {next_step}, and if that does not help, "
            f"{endpoint()} serves a wrong file."
        )
    return path, digest


def commit_of(path: Path) -> str | None:
    """The commit of the repository that a fetched file is from."""
    found = re.search(r"/snapshots/([0-9a-f]{40})/", path.as_posix())
    return found[1] if found else None


def is_absent(error: UsageError) -> bool:
    """Whether `fetch` failed because the repository has no such file."""
    from huggingface_hub import errors

    found = error.__cause__
    return isinstance(found, errors.EntryNotFoundError) and not isinstance(
        found, errors.LocalEntryNotFoundError
    )


def _download(repo: str, file: str, revision: str | None) -> tuple[Path, str | None]:
    """Path and announced hash; if the hub cannot be asked, those of an earlier download."""
    limit = timeouts.seconds(timeouts.ANSWER)
    from huggingface_hub import constants, hf_hub_download

    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES
    announced, size, reason = None, None, None
    if not offline:
        # `hf_hub_download` tries for half a minute before it gives up; this asks once.
        try:
            announced, size = _announced(repo, file, revision, limit)
        except Exception as error:
            reason = error
    if size is not None and size > MOST:
        raise UsageError(f"is said to have {size:,} bytes, which no file of weights has")
    local = offline or reason is not None
    options = {"revision": revision, "endpoint": endpoint(), "local_files_only": local}
    options |= {"etag_timeout": limit}
    if "tqdm_class" in inspect.signature(hf_hub_download).parameters:
        options |= {"tqdm_class": _bounded(MOST if size is None else size)}
    try:
        path = Path(hf_hub_download(repo, file, **options))
    except Exception as error:
        raise (reason or error.__cause__ or error) from error
    return path, announced or _etag_of(path)


def _announced(
    repo: str, file: str, revision: str | None, limit: float
) -> tuple[str | None, int | None]:
    """Hash and size that the hub states, if the host of the content answers too."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.utils import get_session

    host = endpoint()
    url = hf_hub_url(repo, file, revision=revision, endpoint=host)
    ask = partial(get_hf_file_metadata, url, timeout=limit, endpoint=host)
    found = timeouts.in_time(ask, limit)
    elsewhere = urlsplit(found.location).netloc != urlsplit(host).netloc
    if elsewhere and not try_to_load_from_cache(repo, file, revision=found.commit_hash):
        # whatever it says
        timeouts.in_time(partial(get_session().head, found.location, timeout=limit), limit)
    return found.etag, found.size


def _bounded(most: int) -> type[Any]:
    """A bar of progress that ends a download that brings more than it was said to.

    The client itself compares sizes at the end, which a download without end never reaches.
    """
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        received = 0

        def update(self, n: Any = 1) -> bool | None:
            self.received += n or 0
            if self.received > most:
                raise TooLongError(f"brings more than the {most:,} bytes that it should have")
            return super().update(n)

    return Bar


def _etag_of(path: Path) -> str | None:
    """The cache links `snapshots/<commit>/<file>` to `blobs/<etag>`."""
    return path.readlink().name if path.is_symlink() else None


def _agrees(path: Path, digest: str, expected: str | None) -> bool:
    """Whether a file has the content that an ETag announces.

    Large files are announced by their SHA-256, small ones by git's name for their content, its
    SHA-1. Any other ETag says nothing about the content.
    """
    if expected is None or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", expected):
        return True
    if len(expected) == 64:
        return digest == expected
    content = path.read_bytes()
    blob = b"blob %d\0%b" % (len(content), content)
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest() == expected


def endpoint() -> str:
    """Address of the hub that is asked."""
    from huggingface_hub import constants

    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or constants.ENDPOINT


def _explanation(error: Exception) -> str:
    """What is wrong with a file, and what the user can do."""
    from huggingface_hub import errors

    match error:
        case UsageError() | TooLongError():
            return str(error).rstrip(".")
        case errors.OfflineModeIsEnabled() | errors.LocalEntryNotFoundError():
            return "is not in the cache (HF_HOME) and HF_HUB_OFFLINE is set; unset it to download"
        case errors.GatedRepoError():
            return f"needs permission: ask for it at {endpoint()}, then set HF_TOKEN"
        case errors.RepositoryNotFoundError():
            return f"does not exist at {endpoint()}, or is private and needs HF_TOKEN"
        case errors.RevisionNotFoundError() | errors.EntryNotFoundError():
            return f"does not exist at {endpoint()}"
        case errors.HfHubHTTPError():
            status = error.response.status_code
            return f"was refused by {endpoint()}, status {status}; {refusals.advice(status)}"
        case errors.HFValidationError():
            return f"cannot exist: {first_line(error)}"
    if status := refusals.status_of_proxy(error):
        return f"is not in the cache (HF_HOME), and {refusals.advice(status)}"
    if trouble := atomic.trouble(error):
        return f"could not be written to the cache (HF_HOME): {trouble}"
    return (
        f"is not in the cache (HF_HOME) and {endpoint()} cannot be reached: "
        f"{first_line(error)}; check the connection, or set HF_ENDPOINT to a mirror"
    )


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
