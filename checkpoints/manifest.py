"""manifest.json: what a checkpoint directory must contain, to the byte.

{"format": 1,
 "files": {"card.json": {"size": 1234, "sha256": "..."}, ...},
 "leaves": {"params/head/bias": "float32[10]", ...},
 "content": "v-0b1f5c..."}

In a bucket nothing can be renamed in one step, but an object appears whole or not at all. There the
files lie in a folder of their own, `content`, and writing the manifest is what makes them the
checkpoint: until then an earlier one stays what it was.
"""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from checkpoints import paths, remote
from zoo.errors import UsageError, shown
from zoo.fields import is_deep

NAME = "manifest.json"
_LARGEST = 64 << 20  # bytes of a manifest; that of a thousand leaves has 200,000
FORMAT = 1


def write(directory: Path | Any, leaves: Mapping[str, str]) -> None:
    """Records every file that is in the directory now.

    Args:
        directory: a finished checkpoint without manifest.
        leaves: `surgery.describe` of the tree it holds.
    """
    (directory / NAME).write_text(text_of(directory, leaves), encoding="utf-8")


def text_of(directory: Path | Any, leaves: Mapping[str, str], content: str = "") -> str:
    """The manifest of the files that are in the directory now, which will lie in `content`."""
    if paths.is_remote(directory):
        names = sorted(remote.sizes(directory))
    else:
        files = (path for path in directory.rglob("*") if path.is_file())
        names = sorted(path.relative_to(directory).as_posix() for path in files)
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(_entry, (directory / name for name in names))
        entries = dict(zip(names, found, strict=True))
    manifest = {"format": FORMAT, "files": entries, "leaves": dict(leaves)}
    manifest |= {"content": content} if content else {}
    return json.dumps(manifest, indent=1) + "\n"


def read(directory: Path | Any) -> dict[str, Any]:
    """The manifest of a checkpoint directory; its files are not looked at.

    Raises:
        UsageError: no such directory, no manifest in it, or one that cannot be understood.
    """
    if not directory.is_dir():
        raise UsageError(f"There is no checkpoint directory {str(directory)!r}.")
    if not (directory / NAME).is_file():
        state = "it is empty" if not any(directory.iterdir()) else f"it has no {NAME}"
        raise UsageError(
            f"{str(directory)!r} is not a checkpoint, or its writing was cut short: {state}."
        )
    try:
        if paths.size(directory / NAME) > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        manifest = json.loads((directory / NAME).read_text(encoding="utf-8"))
        version, well_formed = manifest["format"], _is_well_formed(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(directory, NAME, "cannot be read") from error
    if not well_formed:
        raise _damaged(directory, NAME, "cannot be read")
    if version != FORMAT:
        raise UsageError(
            f"The checkpoint {str(directory)!r} has format {shown(version)} and this version reads "
            f"format {FORMAT}; install a newer jax-functional-zoo."
        )
    return manifest


def place(directory: Path | Any, manifest: Mapping[str, Any]) -> Path | Any:
    """Where the files of a manifest lie."""
    return directory / manifest.get("content", "")


def verify(directory: Path | Any, only: str | None = None) -> dict[str, Any]:
    """Checks size and SHA-256 of every file, or of one; returns the manifest.

    What a person lays beside the manifest is left alone; folders hold what is listed and no more,
    for a file that no hash is known of would be read unchecked.

    Raises:
        UsageError: what `read` raises, or a file is missing, cut short, changed or not listed; it
            is named.
    """
    manifest = read(directory)
    for name in _unlisted(directory, manifest) if only is None else {only} - {*manifest["files"]}:
        raise _damaged(directory, name, f"is not listed in {NAME}, which vouches for every file")
    for name, entry in manifest["files"].items():
        path = place(directory, manifest) / name
        if only not in (None, name):
            continue
        if not path.is_file():
            raise _damaged(directory, name, "is missing")
        if (size := paths.size(path)) != entry["size"]:
            raise _damaged(directory, name, f"has {size:,} bytes instead of {entry['size']:,}")
        if sha256(path) != entry["sha256"]:
            raise _damaged(directory, name, "has changed since it was written (SHA-256 differs)")
    return manifest


def _unlisted(directory: Path | Any, manifest: Mapping[str, Any]) -> list[str]:
    """Files in folders of a local checkpoint, but for hidden ones, that the manifest omits."""
    if paths.is_remote(directory):
        return []
    content = place(directory, manifest)
    found = (p.relative_to(content) for p in content.rglob("*") if not p.is_dir())
    inside = (p.as_posix() for p in found if len(p.parts) > 1 and not p.parts[0].startswith("."))
    return sorted({*inside} - {*manifest["files"]})


def is_complete(directory: Path | Any) -> bool:
    """Whether every file is there with its size; contents are not read."""
    try:
        manifest = read(directory)
    except UsageError:
        return False
    content = place(directory, manifest)
    expected = {name: entry["size"] for name, entry in manifest["files"].items()}
    if paths.is_remote(directory):
        return expected.items() <= remote.sizes(content).items()
    return all((content / n).is_file() and paths.size(content / n) == expected[n] for n in expected)


def holds_nothing_else(directory: Path) -> bool:
    """Whether a checkpoint is no link and has no file that its manifest does not list."""
    listed = {NAME, *read(directory)["files"]}
    found = (path.relative_to(directory) for path in directory.rglob("*") if not path.is_dir())
    return not directory.is_symlink() and {path.as_posix() for path in found} <= listed


def sha256(path: Path | Any) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_well_formed(manifest: Mapping[str, Any]) -> bool:
    if is_deep(manifest) or not all(
        map(_is_inside, (manifest.get("content", ""), *manifest["files"]))
    ):
        return False
    entries = [(entry["size"], entry["sha256"]) for entry in manifest["files"].values()]
    return all(isinstance(spec, str) for spec in manifest["leaves"].values()) and all(
        isinstance(size, int) and isinstance(digest, str) for size, digest in entries
    )


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not {"\\", "\0"} & {*name}


def _entry(path: Path | Any) -> dict[str, Any]:
    return {"size": paths.size(path), "sha256": sha256(path)}


def _damaged(directory: Path | Any, name: str, what: str) -> UsageError:
    return UsageError(
        f"The checkpoint {str(directory)!r} is damaged: {name} {what}; use another checkpoint, or "
        "a copy of this one."
    )
