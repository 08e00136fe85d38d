"""Reading one checkpoint: intact and of the tree that is asked for, or refused."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from checkpoints import atomic, former_names, manifest, paths
from checkpoints.card import Card
from checkpoints.store.arrays import read_arrays
from checkpoints.store.bucket import copied
from checkpoints.store.layout import ARRAYS, CARD
from checkpoints.surgery import describe, diff, flatten, listed
from zoo.errors import UsageError
from zoo.parameters.stored import abstract as stored_form
from zoo.parameters.stored import unpacked

_SMALL, _DENSEST = 256 << 20, 256  # bytes that are always taken, and the largest compression


def restore(
    directory: str | os.PathLike[str], abstract: Mapping[str, Any], *, host: bool = False
) -> dict[str, Any]:
    """Reads the top-level keys of `abstract` from an intact checkpoint, and no others.

    Args:
        directory: a checkpoint.
        abstract: tree of `jax.ShapeDtypeStruct`s or arrays. A leaf that has a sharding is restored
            into it, whatever it was saved from; any other goes to the default device, uncommitted.
        host: leave leaves without a sharding in host memory, as NumPy arrays.

    Raises:
        UsageError: the checkpoint is damaged, or holds another tree; the whole diff is shown.
    """
    place = atomic.located(directory)
    if paths.is_remote(place):
        with copied(place) as copy:
            return restore(copy, abstract, host=host)
    found = manifest.verify(place)
    names = former_names.found(flatten(abstract), found["leaves"])
    if not names:
        return _read(place, found, abstract, host)
    stored = _read(place, found, former_names.as_stored(abstract, names), host)
    return former_names.as_asked(stored, abstract, names)


def restore_weights(
    directory: str | os.PathLike[str], abstract: Mapping[str, Any], card: Card
) -> dict[str, Any]:
    """What `restore` reads of a checkpoint whose card may say `stored_as`, undone.

    Args:
        directory: a checkpoint.
        abstract: shapes of the variables of its network.
        card: its own.

    Raises:
        UsageError: as of `restore`, or there is no such form.
    """
    if card.stored_as is None:
        return restore(directory, abstract)
    params = abstract["params"]
    stored = restore(directory, {**abstract, "params": stored_form(params, card.stored_as)})
    return {**stored, "params": unpacked(stored["params"], params, card.stored_as)}


def _read(
    place: Path, found: Mapping[str, Any], abstract: Mapping[str, Any], host: bool
) -> dict[str, Any]:
    """What `restore` reads, under the names of the checkpoint, whose manifest is `found`."""
    stored, content = found["leaves"], manifest.place(place, found)
    groups = {name: tree for name, tree in abstract.items() if jax.tree.leaves(tree)}
    held = sorted({_group(path) for path in stored})
    if absent := [name for name in groups if name not in held]:
        raise UsageError(
            f"The checkpoint {str(place)!r} has no {absent[0]!r}; it holds {', '.join(held)}."
        )
    asked = {path: spec for path, spec in stored.items() if _group(path) in abstract}
    if lines := diff(describe(abstract), asked):
        raise UsageError(
            f"The checkpoint {str(place)!r} is of another model; {len(lines)} leaves do not "
            f"match:\n  {listed(lines)}"
        )
    _check_size(place, groups)
    try:
        return {**abstract, **read_arrays(content / ARRAYS, groups, host)}
    except Exception as error:  # Orbax raises whatever it meets in files that no save has written
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")[:300]
        raise UsageError(
            f"The arrays of the checkpoint {str(place)!r} cannot be read: {reason}."
        ) from error


def _group(path: str) -> str:
    return path.partition("/")[0]


def _check_size(directory: Path, groups: Mapping[str, Any]) -> None:
    """Refuses arrays that are far larger than compression explains."""
    entries = manifest.read(directory)["files"].values()
    stored = sum(entry["size"] for entry in entries)
    sizes = (math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(groups) if _sized(x))
    if (total := sum(sizes)) > _SMALL + _DENSEST * stored:
        raise UsageError(
            f"The checkpoint {str(directory)!r} says that it holds arrays of {total:,} bytes in "
            f"files of {stored:,}; no weights are compressed that much, so it is refused."
        )


def _sized(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and isinstance(leaf.dtype, np.dtype)


def read_card(directory: str | os.PathLike[str]) -> Card:
    """The card of a checkpoint.

    Raises:
        UsageError: the directory is no checkpoint, or its card is damaged.
    """
    place = atomic.located(directory)
    content = manifest.place(place, manifest.verify(place, only=CARD))
    return Card.from_json((content / CARD).read_text(encoding="utf-8"))


def verify(directory: str | os.PathLike[str]) -> None:
    """Checks every byte of a checkpoint.

    Raises:
        UsageError: no checkpoint, or a file that is missing, cut short or changed; it is named.
    """
    place = atomic.located(directory)
    if paths.is_remote(place):
        with copied(place) as copy:
            return verify(copy)
    manifest.verify(place)
    return None
