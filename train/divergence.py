"""A state that has diverged: how it is told, and what a run directory remembers of it."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from checkpoints import atomic

NAME = "diverged.json"


class Spoiled(Exception):  # noqa: N818 (not an error: an older checkpoint may do)
    """The state of a step is finite, and no update of it is, whatever the rate."""

    def __init__(self, step: int):
        super().__init__(
            f"the state of step {step} leads to values that are not finite at any rate; going on "
            "from an older checkpoint, or from the beginning"
        )
        self.step = step


def infinite(tree: Any) -> frozenset[str]:
    """Paths of the leaves with infinities, such as the best loss that a plateau starts from."""
    return frozenset(path for path, leaf in _inexact(tree) if np.isinf(leaf).any())


def flaws(tree: Any, infinite: frozenset[str] = frozenset()) -> list[str]:
    """Paths of the leaves that hold NaN or, unless they are in `infinite`, an infinity."""
    return [
        path
        for path, leaf in _inexact(tree)
        if (np.isnan(leaf).any() if path in infinite else not np.isfinite(leaf).all())
    ]


def described(paths: list[str]) -> str:
    """Some leaves in words."""
    more = f" and {len(paths) - 1} more leaves" if len(paths) > 1 else ""
    return f"`{paths[0]}`{more}"


def remember(directory: Path | Any, step: int) -> None:
    """Records that a run diverged in its update number `step`, or before."""
    atomic.write_text(directory / NAME, json.dumps({"step": step}) + "\n")


def remembered(directory: Path | Any) -> int | None:
    """The step by which a run diverged, if it did and has not got past it since."""
    try:
        return json.loads((directory / NAME).read_text())["step"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def forget(directory: Path | Any) -> None:
    """A run has got past the step where it diverged."""
    (directory / NAME).unlink(missing_ok=True)


def _inexact(tree: Any) -> list[tuple[str, np.ndarray]]:
    """Paths and values of the leaves of floats, on the host; of sharded ones what is here."""
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), values)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
        for values in _on_the_host(leaf)
    ]


def _on_the_host(leaf: Any) -> list[np.ndarray]:
    if not isinstance(leaf, jax.Array):
        return [np.asarray(leaf)]
    shards = leaf.addressable_shards
    return [np.asarray(s.data) for s in (shards[:1] if leaf.is_fully_replicated else shards)]
