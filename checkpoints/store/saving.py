"""Writing one checkpoint, and giving one another card."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoints import atomic, manifest, paths
from checkpoints.card import Card
from checkpoints.store.arrays import write_arrays
from checkpoints.store.bucket import save_to_bucket
from checkpoints.store.layout import ARRAYS, CARD, explain, refuse_other_content
from checkpoints.store.together import is_first_process, wait_for_all, writer
from checkpoints.surgery import describe
from zoo.parameters.stored import packed


def save(directory: str | os.PathLike[str], variables: Mapping[str, Any], card: Card) -> Path | Any:
    """Writes a checkpoint; an earlier one of that name is replaced, never mixed, never missing.

    Where several processes train together, each of them calls this with the same arguments.

    Args:
        directory: new, empty, or an earlier checkpoint; or an address such as `gs://bucket/name`.
        variables: arrays under string keys, such as `{"params": ..., "batch_stats": ...}`. Below
            the first level the containers may be those of Flax and optax, and leaves may be typed
            random keys.
        card: description, stored beside the arrays. Where it says `stored_as`, "params" are stored
            in that form.

    Returns:
        The absolute path of the checkpoint; of an address its `etils.epath.Path`.

    Raises:
        UsageError: the directory holds something else, cannot be written, or the disk is full;
            nothing half-written remains. Or the parameters cannot be stored as the card says.
    """
    if card.stored_as is not None:
        variables = {**variables, "params": packed(variables["params"], card.stored_as)}
    if paths.is_remote(directory):
        return save_to_bucket(directory, variables, card)
    target = paths.path(directory).resolve()
    paths.refuse_patterns(target)
    refuse_other_content(target)
    partial = atomic.partial_name(target, writer())
    try:
        _write(partial, variables, card)
        if is_first_process():
            atomic.remove_leftovers(target)
            atomic.publish(partial, target)
    except Exception as error:
        explain(target, error)
        raise
    finally:
        if is_first_process():
            shutil.rmtree(partial, ignore_errors=True)
    wait_for_all("checkpoint published")
    return target


def _write(partial: Path, variables: Mapping[str, Any], card: Card) -> None:
    if is_first_process():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    wait_for_all("checkpoint begun")
    write_arrays(partial / ARRAYS, variables)
    if is_first_process():
        (partial / CARD).write_text(card.to_json(), encoding="utf-8")
        manifest.write(partial, describe(variables))


def rewrite_card(directory: str | os.PathLike[str], card: Card) -> None:
    """Gives an intact checkpoint another card; its arrays stay as they are, to the byte.

    Raises:
        UsageError: the checkpoint is damaged or cannot be written.
    """
    target = atomic.located(directory).resolve()
    partial = atomic.partial_name(target, atomic.this_process())
    found = manifest.verify(target)
    leaves, content = found["leaves"], manifest.place(partial, found)
    try:
        shutil.copytree(target, partial, ignore=shutil.ignore_patterns(manifest.NAME))
        (content / CARD).write_text(card.to_json(), encoding="utf-8")
        text = manifest.text_of(content, leaves, found.get("content", ""))
        (partial / manifest.NAME).write_text(text, encoding="utf-8")
        atomic.publish(partial, target)
    except Exception as error:
        explain(target, error)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
