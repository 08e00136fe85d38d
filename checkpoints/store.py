"""Checkpoints on disk: complete and intact, or refused. The only file that knows Orbax.

    directory/
      card.json       what the weights are, `checkpoints.card`
      manifest.json   size and SHA-256 of every file, `checkpoints.manifest`
      arrays/         Orbax, one checkpointable for each top-level key of the tree

Orbax alone lets some flipped bits through; the manifest does not. A run keeps its checkpoints as
`run/steps/00000120`.
"""

import json
import logging
import math
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from checkpoints import atomic, manifest, paths, remote
from checkpoints.card import Card
from checkpoints.retention import TOP1, Retention, rank
from checkpoints.surgery import describe, diff, listed
from zoo.errors import UsageError

_CARD, _ARRAYS, _STEPS = "card.json", "arrays", "steps"
_SMALL, _DENSEST = 256 << 20, 256  # bytes that are always taken, and the largest compression
_LEFTOVER = re.compile(r"\.\d{8,}\.(old|replaced|.+\.partial)")  # of a save or a deletion
_CONTENT = "v-"  # folders in which a checkpoint of a bucket has its files, see `manifest`


def save(directory: str | os.PathLike[str], variables: Mapping[str, Any], card: Card) -> Path | Any:
    """Writes a checkpoint; an earlier one of that name is replaced, never mixed, never missing.

    Where several processes train together, each of them calls this with the same arguments.

    Args:
        directory: new, empty, or an earlier checkpoint; or an address such as `gs://bucket/name`.
        variables: arrays under string keys, such as `{"params": ..., "batch_stats": ...}`. Below
            the first level the containers may be those of Flax and optax, and leaves may be typed
            random keys.
        card: description, stored beside the arrays.

    Returns:
        The absolute path of the checkpoint; of an address its `etils.epath.Path`.

    Raises:
        UsageError: the directory holds something else, cannot be written, or the disk is full;
            nothing half-written remains.
    """
    if paths.is_remote(directory):
        return _save_remotely(directory, variables, card)
    target = paths.path(directory).resolve()
    paths.refuse_patterns(target)
    _refuse_other_content(target)
    partial = atomic.partial_name(target, _writer())
    try:
        _write(partial, variables, card)
        if _is_first_process():
            atomic.remove_leftovers(target)
            atomic.publish(partial, target)
    except Exception as error:
        _explain(target, error)
        raise
    finally:
        if _is_first_process():
            shutil.rmtree(partial, ignore_errors=True)
    _wait_for_all("checkpoint published")
    return target


def _save_remotely(
    address: str | os.PathLike[str], variables: Mapping[str, Any], card: Card
) -> Any:
    """Writes the files into a folder of their own, then the manifest that makes them count."""
    target = paths.path(address)
    content = f"{_CONTENT}{_agreed_number():08x}"
    try:
        _refuse_other_content(target)
        text = _write_remotely(target, content, variables, card)
        if _is_first_process():
            (target / manifest.NAME).write_text(text)
            _remove_content(target, but=content)
    except Exception as error:
        _explain(target, error)
        raise
    _wait_for_all("checkpoint published")
    return target


def _write_remotely(target: Any, content: str, variables: Mapping[str, Any], card: Card) -> str:
    """Writes a checkpoint but for its manifest, which is returned.

    A process alone uploads what it has hashed on its disk. Several have no disk in common, and each
    sends its part of the arrays itself.
    """
    if jax.process_count() == 1:
        with tempfile.TemporaryDirectory() as folder:
            _write_arrays(Path(folder) / _ARRAYS, variables)
            (Path(folder) / _CARD).write_text(card.to_json(), encoding="utf-8")
            remote.upload(Path(folder), target / content)
            return manifest.text_of(Path(folder), describe(variables), content)
    _write_arrays(target / content / _ARRAYS, variables)
    _wait_for_all("arrays written")
    if not _is_first_process():
        return ""
    (target / content / _CARD).write_text(card.to_json())
    return manifest.text_of(target / content, describe(variables), content)


def _remove_content(target: Any, but: str | None = None) -> None:
    """Deletes what earlier saves, whole or killed, have left in an address."""
    for folder in target.iterdir():
        if folder.name.startswith(_CONTENT) and folder.name != but:
            remote.remove(folder)


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
        with _copy(place) as copy:
            return restore(copy, abstract, host=host)
    found = manifest.verify(place)
    stored, content = found["leaves"], manifest.place(place, found)
    groups = {name: tree for name, tree in abstract.items() if jax.tree.leaves(tree)}
    held = sorted({_group(path) for path in stored})
    if absent := [name for name in groups if name not in held]:
        raise UsageError(
            f"The checkpoint {str(directory)!r} has no {absent[0]!r}; it holds {', '.join(held)}."
        )
    found = {path: spec for path, spec in stored.items() if _group(path) in abstract}
    if lines := diff(describe(abstract), found):
        raise UsageError(
            f"The checkpoint {str(directory)!r} is of another model; {len(lines)} leaves do not "
            f"match:\n  {listed(lines)}"
        )
    _check_size(place, groups)
    try:
        return {**abstract, **_read_arrays(content / _ARRAYS, groups, host)}
    except Exception as error:  # Orbax raises whatever it meets in files that no save has written
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")[:300]
        raise UsageError(
            f"The arrays of the checkpoint {str(directory)!r} cannot be read: {reason}."
        ) from error


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
    content = manifest.place(place, manifest.verify(place, only=_CARD))
    return Card.from_json((content / _CARD).read_text(encoding="utf-8"))


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
        (content / _CARD).write_text(card.to_json(), encoding="utf-8")
        text = manifest.text_of(content, leaves, found.get("content", ""))
        (partial / manifest.NAME).write_text(text, encoding="utf-8")
        atomic.publish(partial, target)
    except Exception as error:
        _explain(target, error)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def verify(directory: str | os.PathLike[str]) -> None:
    """Checks every byte of a checkpoint.

    Raises:
        UsageError: no checkpoint, or a file that is missing, cut short or changed; it is named.
    """
    place = atomic.located(directory)
    if paths.is_remote(place):
        with _copy(place) as copy:
            return verify(copy)
    manifest.verify(place)
    return None


@contextmanager
def _copy(address: Any) -> Iterator[Path]:
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


def is_checkpoint(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory claims to be a checkpoint, intact or not."""
    return (atomic.located(directory) / manifest.NAME).is_file()


def step_path(run: str | os.PathLike[str], step: int) -> Path | Any:
    """Where the checkpoint of a step of a run lies."""
    return paths.path(run) / _STEPS / f"{step:08d}"


def steps(run: str | os.PathLike[str]) -> list[tuple[int, Path | Any]]:
    """Steps and paths of the checkpoints of a run, oldest first, complete or not."""
    folder = paths.path(run) / _STEPS
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((int(path.name), path) for path in found if path.name.isdecimal())


def best(run: str | os.PathLike[str], by: str | None = None) -> Path | Any | None:
    """The complete checkpoint of a run with the highest `checkpoints.retention.rank`, or None.

    Of equal ones the newest counts. Checkpoints that were saved without an evaluation, and those
    whose card is damaged, do not take part.

    Args:
        run: its directory.
        by: figure that counts, as in `Retention.best`; None is what the newest card says.
    """
    cards = {path: card for _, path in steps(run) if (card := _card(path)) is not None}
    if by is None:
        by = _ranked_by(next(reversed(cards.values()), None))
    ranks = {path: rank(card.metrics, by) for path, card in cards.items()}
    ranked = [(found, path) for path, found in ranks.items() if found is not None]
    return max(ranked, key=lambda pair: (pair[0], pair[1].name))[1] if ranked else None


def latest(run: str | os.PathLike[str]) -> Path | Any | None:
    """The newest complete checkpoint of a run, or None; whether it is intact, `verify` tells."""
    complete = (path for _, path in reversed(steps(run)) if manifest.is_complete(path))
    return next(complete, None)


def keep(run: str | os.PathLike[str], retention: Retention) -> None:
    """Deletes what killed saves left, and the complete checkpoints that `retention` does not name.

    Whatever `save` did not write stays: a directory of another name or with files that no manifest
    lists. Only the process that owns the run may call this.
    """
    ours = [path for step, path in steps(run) if path == step_path(run, step)]
    complete = [path for path in ours if manifest.is_complete(path)]
    every = [p for p in complete if retention.every and int(p.name) % retention.every == 0]
    spared = {*complete[-retention.newest :], best(run, retention.best), *every}
    outdated = [path for path in complete if path not in spared]
    if paths.is_remote(run):
        killed = [path for path in ours if not (path / manifest.NAME).exists()]
        for path in (*outdated, *killed):
            (path / manifest.NAME).unlink(missing_ok=True)
            _remove_content(path)
        return
    for path in outdated:
        if manifest.holds_nothing_else(path):
            # Renamed first: a checkpoint that is half deleted must not look like one.
            path.rename(path.with_name(f".{path.name}.old"))
    for leftover in (Path(run) / _STEPS).glob(".*"):
        if _LEFTOVER.fullmatch(leftover.name) and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)


def _card(checkpoint: Path | Any) -> Card | None:
    """The card of a complete checkpoint, if it can be read."""
    try:
        return read_card(checkpoint) if manifest.is_complete(checkpoint) else None
    except UsageError:
        return None


def _ranked_by(card: Card | None) -> str:
    """The figure by which a run ranks its checkpoints."""
    by = ((card and card.source) or {}).get("best")
    return by if isinstance(by, str) else TOP1


def _write(partial: Path, variables: Mapping[str, Any], card: Card) -> None:
    if _is_first_process():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    _wait_for_all("checkpoint begun")
    _write_arrays(partial / _ARRAYS, variables)
    if _is_first_process():
        (partial / _CARD).write_text(card.to_json(), encoding="utf-8")
        manifest.write(partial, describe(variables))


def _write_arrays(path: Path | Any, variables: Mapping[str, Any]) -> None:
    from orbax.checkpoint import v1 as ocp

    # Orbax does not take trees without leaves.
    groups = {
        name: jax.tree.map(_stored, tree)
        for name, tree in variables.items()
        if jax.tree.leaves(tree)
    }
    if not groups:
        return
    with _quiet():
        ocp.save_checkpointables(str(path), groups)


def _stored(leaf: Any) -> Any:
    """A leaf as Orbax takes it, which is not as a NumPy scalar.

    Of an array that is the same on all devices of a single process, one copy: Orbax would write a
    piece from every device, which takes four times as long.
    """
    if not _is_jax(leaf):
        return np.asarray(leaf)
    one_copy = jax.process_count() == 1 and leaf.is_fully_replicated
    return leaf.addressable_shards[0].data if one_copy else leaf


def _read_arrays(path: Path, groups: Mapping[str, Any], host: bool) -> dict[str, Any]:
    if not groups:
        return {}
    from orbax.checkpoint import v1 as ocp

    with _quiet():
        loaded = ocp.load_checkpointables(
            str(path.resolve()), jax.tree.map(_destination, dict(groups))
        )
    if host:
        return loaded
    leaves, structure = jax.tree.flatten(loaded)
    ours = [i for i, leaf in enumerate(leaves) if _becomes_jax(leaf)]
    moved = jax.device_put([leaves[i] for i in ours], may_alias=False)  # all at once
    for i, leaf in zip(ours, moved, strict=True):
        leaves[i] = leaf
    return jax.tree.unflatten(structure, leaves)


def _destination(leaf: Any) -> Any:
    """What Orbax restores a leaf into: its sharding if it has one, else host memory."""
    leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    sharding = getattr(leaf, "sharding", None)
    if sharding is None and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)  # a shape, no memory
    sharding = sharding or jnp.zeros(()).sharding  # a key has no form in host memory
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _becomes_jax(leaf: Any) -> bool:
    """Host arrays become JAX arrays; those of 64 bits stay in NumPy while x64 is off."""
    return not _is_jax(leaf) and jax.dtypes.canonicalize_dtype(leaf.dtype) == leaf.dtype


def _is_jax(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array)


def _group(path: str) -> str:
    return path.partition("/")[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Orbax from showing the tracebacks of its threads; the error itself is raised to us."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    report, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    except Exception:
        time.sleep(0.2)  # until threads that wrote beside the one that failed have given up
        raise
    finally:
        sys.unraisablehook = report
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def _explain(target: Path | Any, error: Exception) -> None:
    """Raises a `UsageError` instead of an error that the user can mend."""
    if trouble := atomic.trouble(error):
        raise UsageError(f"Could not save the checkpoint {str(target)!r}: {trouble}.") from error


def _refuse_other_content(target: Path | Any) -> None:
    if is_checkpoint(target) or not target.exists():
        return
    if paths.is_remote(target):
        is_other = not all(path.name.startswith(_CONTENT) for path in target.iterdir())
    else:
        is_other = not target.is_dir() or any(target.iterdir())
    if is_other:
        raise UsageError(
            f"{str(target)!r} exists and is not a checkpoint, so it is not overwritten; choose a "
            "new directory."
        )


def _is_first_process() -> bool:
    return jax.process_index() == 0


def _writer() -> str:
    if jax.process_count() == 1:
        return atomic.this_process()
    return f"together.{_agreed_number()}"


def _agreed_number() -> int:
    """A random number below 2**31, the same in all processes that save together."""
    number = np.int32(uuid.uuid4().int % 2**31)
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        number = multihost_utils.broadcast_one_to_all(number)
    return int(number)


def _wait_for_all(what: str) -> None:
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)
