"""The arrays of a checkpoint, through Orbax. No other file imports it."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def write_arrays(path: Path | Any, variables: Mapping[str, Any]) -> None:
    """Writes every top-level key that has leaves; of none, nothing is written."""
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


def read_arrays(path: Path, groups: Mapping[str, Any], host: bool) -> dict[str, Any]:
    """Reads the keys of `groups`.

    Args:
        path: the folder of the arrays.
        groups: trees of shapes or arrays by top-level key; a sharding of theirs is restored into.
        host: leave leaves without a sharding in host memory.
    """
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
