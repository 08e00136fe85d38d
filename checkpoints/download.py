"""Files from plain web addresses: resumed, locked, hashed, and there whole or not at all."""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from checkpoints import atomic, patience
from checkpoints.manifest import sha256 as sha256_of
from zoo.errors import UsageError

_ATTEMPTS = 5  # broken connections in a row that brought nothing, after some that did
_PAUSE = 1.0  # seconds before the next of them
_CHUNK = 1 << 20


def fetch_url(
    url: str, directory: Path, sha256: str | None = None, md5: str | None = None
) -> tuple[Path, str]:
    """Path of a file in `directory`, downloaded if it is not there, and its SHA-256.

    Several processes may ask for the same file at once: one downloads, the others wait.

    Args:
        url: address of the file.
        directory: where downloads are kept.
        sha256: content that is demanded; None for the digits that the file's name ends with, as
            in `resnet18-f37072fd.pth`, if it does.
        md5: another hash that is demanded, for publishers that state no better one.

    Raises:
        UsageError: the file cannot be had now, or has the wrong content and is not kept.
    """
    from huggingface_hub.utils import WeakFileLock

    path = directory / Path(urlsplit(url).path).name
    expected = sha256 or _digits(path.name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(directory / f".{path.name}.lock"):
            if not path.is_file():
                _download(url, path)
            digest = sha256_of(path)
            if not digest.startswith(expected):
                raise _damaged(url, path, f"SHA-256 is {digest}, expected {expected}")
            if md5 is not None and (found := _md5_of(path)) != md5:
                raise _damaged(url, path, f"MD5 is {found}, expected {md5}")
    except OSError as error:
        if (trouble := atomic.trouble(error)) is None:
            raise
        raise UsageError(f"{url} could not be written to {str(directory)!r}: {trouble}.") from error
    return path, digest


def _damaged(url: str, path: Path, how: str) -> UsageError:
    path.unlink()
    return UsageError(f"The download of {url} is damaged: its {how}. It was deleted; try again.")


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()


def _digits(name: str) -> str:
    """The beginning of the SHA-256 that torchvision puts into its names; "" if there is none."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return found[1] if found else ""


def _download(url: str, path: Path) -> None:
    """Fetches a file beside its name, goes on where a connection broke, and names it at the end."""
    from huggingface_hub import constants

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES:
        raise UsageError(
            f"{url} is not in {str(path.parent)!r} and HF_HUB_OFFLINE is set; unset it to download."
        )
    part = path.with_name(f".{path.name}.part")
    failures, begun = 0, False
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            _receive(url, part)
            break
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not before:
                raise UsageError(f"{url} was refused with status {error.code}.") from error
            part.unlink()  # longer than the file is now
        except (
            urllib.error.URLError,
            ConnectionError,
            TimeoutError,
            http.client.HTTPException,
        ) as e:
            after = part.stat().st_size if part.is_file() else 0
            begun = begun or after > before
            failures = 0 if after > before else failures + 1
            if failures >= _ATTEMPTS or not begun:
                raise UsageError(
                    f"{url} cannot be reached: {e}; check the connection, or download it by hand "
                    "and use `checkpoints.load(path)`."
                ) from e
            time.sleep(_PAUSE if failures else 0)
    part.rename(path)


def _receive(url: str, part: Path) -> None:
    """Appends to `part` what is missing of the file."""
    from huggingface_hub.utils import tqdm

    start = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)
    opened = partial(urllib.request.urlopen, request, timeout=patience.SECONDS)
    with patience.in_time(opened) as answer:
        resumes = answer.status == http.client.PARTIAL_CONTENT
        start = start if resumes else 0
        left = answer.headers.get("Content-Length")
        total = start + int(left) if left else None
        bar = tqdm(desc=part.name[1:-5], total=total, initial=start, unit="B", unit_scale=True)
        with bar, part.open("ab" if resumes else "wb") as file:
            while chunk := answer.read1(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            length = file.tell()
    if total is not None and length < total:
        raise ConnectionError(f"the connection broke after {length:,} of {total:,} bytes")
