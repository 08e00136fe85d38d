"""A checkpoint in a bucket: every save has a folder, and the manifest names the one that counts."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from checkpoints import manifest, paths, remote
from checkpoints.card import Card
from checkpoints.store.arrays import write_arrays
from checkpoints.store.layout import ARRAYS, CARD, CONTENT, explain, refuse_other_content
from checkpoints.store.together import agreed_number, is_first_process, wait_for_all
from checkpoints.surgery import describe
from zoo.errors import UsageError


def save_to_bucket(
    address: str | os.PathLike[str], variables: Mapping[str, Any], card: Card
) -> Any:
    """Writes the files into a folder of their own, then the manifest that makes them count."""
    target = paths.path(address)
    content = f"{CONTENT}{agreed_number():08x}"
    try:
        refuse_other_content(target)
        text = _write_remotely(target, content, variables, card)
        if is_first_process():
            (target / manifest.NAME).write_text(text)
            remove_content(target, but=content)
    except Exception as error:
        explain(target, error)
        raise
    wait_for_all("checkpoint published")
    return target


def _write_remotely(target: Any, content: str, variables: Mapping[str, Any], card: Card) -> str:
    """Writes a checkpoint but for its manifest, which is returned.

    A process alone uploads what it has hashed on its disk. Several have no disk in common, and each
    sends its part of the arrays itself.
    """
    if jax.process_count() == 1:
        with tempfile.TemporaryDirectory() as folder:
            write_arrays(Path(folder) / ARRAYS, variables)
            (Path(folder) / CARD).write_text(card.to_json(), encoding="utf-8")
            remote.upload(Path(folder), target / content)
            return manifest.text_of(Path(folder), describe(variables), content)
    write_arrays(target / content / ARRAYS, variables)
    wait_for_all("arrays written")
    if not is_first_process():
        return ""
    (target / content / CARD).write_text(card.to_json())
    return manifest.text_of(target / content, describe(variables), content)


def remove_content(target: Any, but: str | None = None) -> None:
    """Deletes what earlier saves, whole or killed, have left in an address."""
    for folder in target.iterdir():
        if folder.name.startswith(CONTENT) and folder.name != but:
            remote.remove(folder)


@contextmanager
def copied(address: Any) -> Iterator[Path]:
    """What a checkpoint in a bucket has, in a directory of this machine, and nothing besides."""
    found = manifest.read(address)
    with tempfile.TemporaryDirectory() as folder:
        content = manifest.place(Path(folder), found)
        remote.download(manifest.place(address, found), found["files"], content)
        (Path(folder) / manifest.NAME).write_text(json.dumps(found), encoding="utf-8")
        try:
            yield Path(folder)
        except UsageError as error:
            raise UsageError(str(error).replace(folder, str(address))) from error
