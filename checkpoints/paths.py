"""Where a user says that something lies: a path of this machine, or an address of a bucket.

Everything that reads or writes such a place gets it from `path`. What comes back acts like
`pathlib.Path` either way; of an address it is an `etils.epath.Path`, over gcsfs for `gs://`.
"""

import importlib.util
import logging
import os
import re
from pathlib import Path
from typing import Any

from checkpoints import installation
from zoo.errors import UsageError

# What speaks each protocol that `etils.epath` can address.
LIBRARIES = {"gs": "gcsfs", "s3": "s3fs", "az": "adlfs", "hf": "huggingface_hub"}
# `pathlib` makes "gs:/bucket" of "gs://bucket", which is no folder either.
_ADDRESS = re.compile(r"(?P<scheme>\w[\w+.-]*)://(?P<rest>.*)|(?P<collapsed>gs|s3|az):/(?P<key>.*)")


def is_remote(place: str | os.PathLike[str]) -> bool:
    """Whether a place is the address of another file system, as in `gs://bucket/run`."""
    return _ADDRESS.fullmatch(os.fspath(place)) is not None


def path(place: str | os.PathLike[str]) -> Path | Any:
    """A place as something that acts like `pathlib.Path`; `~` and `~user` are expanded.

    Args:
        place: a path, or an address such as `gs://bucket/folder`.

    Raises:
        UsageError: an address of no file system that is known here, one whose library is not
            installed, or the home of nobody.
    """
    text = os.fspath(place)
    if (found := _ADDRESS.fullmatch(text)) is None:
        return _local(text)
    scheme, rest = found["scheme"] or found["collapsed"], found["rest"] or found["key"] or ""
    if scheme not in LIBRARIES:
        raise UsageError(
            f"{text!r} is no address that can be read or written, such as gs://bucket/run: there "
            f"is no file system {scheme!r}. Copy or download it by hand and give its path."
        )
    if not rest.strip("/"):
        raise UsageError(f"{text!r} names no bucket; write {scheme}://BUCKET/FOLDER.")
    _require(LIBRARIES[scheme], text)
    return _remote(f"{scheme}://{rest.lstrip('/')}")


def local(place: str | os.PathLike[str]) -> Path:
    """A path of this machine; `~` and `~user` are expanded.

    Raises:
        UsageError: an address, or the home of nobody.
    """
    text = os.fspath(place)
    if is_remote(text):
        raise UsageError(f"{text!r} is an address, and a path of this machine is wanted.")
    return _local(text)


def size(path: Path | Any) -> int:
    """Bytes of a file."""
    return path.stat().st_size if isinstance(path, Path) else path.stat().length


def _local(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text!r} begins with the home of a user who is not known.") from error


def _require(library: str, address: str) -> None:
    if importlib.util.find_spec(library) is None:
        how = installation.command("gcs") if library == "gcsfs" else f"pip install {library}"
        raise UsageError(f"{address!r} is reached with {library}: {how}")


def _remote(address: str) -> Any:
    import fsspec.config

    # Other processes and TensorStore write there too, so that a listing is soon out of date; and
    # where TensorFlow is installed, its own files would take the place of fsspec's.
    found = fsspec.config.conf.setdefault("gcs", {})
    found.setdefault("use_listings_cache", False)
    if os.environ.get("STORAGE_EMULATOR_HOST"):  # knows nobody, and no more than the JSON interface
        found.setdefault("token", "anon")
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    os.environ.setdefault("EPATH_USE_TF", "false")
    for name in ("gcsfs", "fsspec"):  # they log tracebacks of what they raise to us anyway
        if (logger := logging.getLogger(name)).level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
    from etils import epath

    return epath.Path(address)


def refuse_patterns(place: Path | Any) -> None:
    """Refuses directories for checkpoints whose names Orbax would read as patterns of names.

    Raises:
        UsageError: there is a `[`, `*` or `?` in the path.
    """
    if wrong := set(str(place)) & set("[*?"):
        raise UsageError(
            f"checkpoints cannot be read from {str(place)!r}, because of {min(wrong)!r}; choose "
            "a directory without [, * and ?"
        )
