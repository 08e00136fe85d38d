"""Files from plain web addresses: resumed, locked, hashed, and there whole or not at all."""

import hashlib
import http.client
import os
import re
import time
import urllib.error
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from checkpoints import atomic, refusals, timeouts
from checkpoints.manifest import sha256 as sha256_of
from checkpoints.transfer import OtherPartError, Transfer
from zoo.errors import UsageError

_ATTEMPTS = 5  # broken connections in a row that brought nothing, after some that did
_PAUSE = 1.0  # seconds before the next of them
MOST = 64 << 30  # bytes of a file of weights, if nothing better is known


class _Wanted(NamedTuple):
    """A download: its address, what is demanded of its content, and how long it may be."""

    url: str
    sha256: str
    md5: str | None
    most: int

    @property
    def is_checked(self) -> bool:
        """Whether content that is put together of several versions would be noticed."""
        return bool(self.sha256) or self.md5 is not None


def fetch_url(
    url: str,
    directory: Path,
    sha256: str | None = None,
    md5: str | None = None,
    most: int | None = None,
) -> tuple[Path, str]:
    """Path of a file in `directory`, downloaded if it is not there, and its SHA-256.

    Several processes may ask for the same file at once: one downloads, the others wait. A file that
    is there is only read, so that the directory may be one that cannot be written.

    Args:
        url: address of the file, `https:` or `http:`.
        directory: where downloads are kept.
        sha256: content that is demanded; None for the digits that the file's name ends with, as
            in `resnet18-f37072fd.pth`, if it does.
        md5: another hash that is demanded, for publishers that state no better one.
        most: bytes that the file may have; None for `MOST`.

    Raises:
        UsageError: the file cannot be had now, or has the wrong content and is not kept.
    """
    from huggingface_hub.utils import WeakFileLock

    path = directory / Path(urlsplit(url).path).name
    wanted = _Wanted(url, sha256 or _digits(path.name), md5, MOST if most is None else most)
    try:
        if path.is_file() and _difference(path, wanted) is None:
            return path, sha256_of(path)
        directory.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(directory / f".{path.name}.lock"):
            if not path.is_file():
                _download(wanted, path)
            if how := _difference(path, wanted):
                path.unlink()
                raise UsageError(
                    f"The download of {url} is damaged, or was changed: its {how}. It was deleted; "
                    "try again."
                )
            return path, sha256_of(path)
    except OSError as error:
        if (trouble := atomic.trouble(error)) is None:
            raise
        raise UsageError(f"{url} could not be written to {str(directory)!r}: {trouble}.") from error


def _difference(path: Path, wanted: _Wanted) -> str | None:
    """What is wrong with a file's content; None if nothing is."""
    if wanted.sha256 and not (digest := sha256_of(path)).startswith(wanted.sha256):
        return f"SHA-256 is {digest}, expected {wanted.sha256}"
    if wanted.md5 is not None and (found := _md5_of(path)) != wanted.md5:
        return f"MD5 is {found}, expected {wanted.md5}"
    return None


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()


def _digits(name: str) -> str:
    """The beginning of the SHA-256 that torchvision puts into its names; "" if there is none."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return found[1] if found else ""


def _download(wanted: _Wanted, path: Path) -> None:
    """Fetches a file beside its name, goes on where a connection broke, and names it at the end."""
    from huggingface_hub import constants

    url = wanted.url
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES:
        raise UsageError(
            f"{url} is not in {str(path.parent)!r} and HF_HUB_OFFLINE is set; unset it to download."
        )
    part = path.with_name(f".{path.name}.part")
    transfer = Transfer(url, part, wanted.most, wanted.is_checked)
    failures, begun = 0, False
    while True:
        before = transfer.length()
        try:
            transfer.receive()
            break
        except OtherPartError:
            part.unlink()  # from the beginning, then
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not before:
                raise UsageError(
                    f"{url} was refused with status {error.code}; {refusals.advice(error.code)}."
                ) from error
            part.unlink()  # longer than the file is now
        except (OSError, http.client.HTTPException) as error:
            if atomic.trouble(error):
                raise
            after = transfer.length()
            begun = begun or after > before
            failures = 0 if after > before else failures + 1
            if failures >= _ATTEMPTS or not begun:
                raise UsageError(f"{url} cannot be reached: {_reason(error)}.") from error
            time.sleep(_PAUSE if failures else 0)
    part.rename(path)


def _reason(error: Exception) -> str:
    """Why a connection failed, and what helps."""
    if status := refusals.status_of_proxy(error):
        return refusals.advice(status)
    slow = isinstance(getattr(error, "reason", error), TimeoutError)
    hint = (
        f"set {timeouts.PIECE} to more seconds if it is only slow"
        if slow
        else "check the connection"
    )
    return f"{error}; {hint}, or download it by hand and use `checkpoints.load(path)`"
