"""Names that parameters had in earlier versions: what was saved under them loads under today's.

A name is the path of a module below the one that contains it. A leaf that a checkpoint or file does
not have, but has under its former name, is read from there; nothing else is renamed.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

import jax

from checkpoints.surgery import flatten

T = TypeVar("T")

FORMER = {  # today's name: the former one, of as many parts
    "shortcut/conv": "shortcut/projection",
    "shortcut/norm": "shortcut/projection_norm",
}


def former(path: str) -> str:
    """The path that a leaf had in earlier versions.

    >>> former("params/stage2_block0/shortcut/norm/scale")
    'params/stage2_block0/shortcut/projection_norm/scale'
    """
    for name, before in FORMER.items():
        path = re.sub(rf"(^|/){name}(?=/|$)", rf"\1{before}", path)
    return path


def found(paths: Iterable[str], stored: Collection[str]) -> dict[str, str]:
    """Former paths that are stored, by the paths that are not."""
    formers = {path: former(path) for path in paths if path not in stored}
    return {path: before for path, before in formers.items() if before in stored}


def renamed(tensors: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    """Tensors by today's paths, from those of a file."""
    today = {before: path for path, before in names.items()}
    return {today.get(name, name): tensor for name, tensor in tensors.items()}


def as_stored(tree: T, names: Mapping[str, str]) -> T:
    """The tree with some leaves under other paths: the keys of its dictionaries change."""
    keys = {}
    for path, before in names.items():
        parts = path.split("/")
        for i, key in enumerate(before.split("/")):
            keys["/".join(parts[: i + 1])] = key
    return _rekeyed(tree, keys, "")


def as_asked(stored: Any, tree: Any, names: Mapping[str, str]) -> Any:
    """The inverse of `as_stored`.

    Args:
        stored: a tree such as `as_stored` gives.
        tree: one whose paths are wanted.
        names: as for `as_stored`.
    """
    leaves = flatten(stored)
    wanted = [leaves[names.get(path, path)] for path in flatten(tree)]
    return jax.tree.unflatten(jax.tree.structure(tree), wanted)


def _rekeyed(tree: Any, keys: Mapping[str, str], above: str) -> Any:
    def visit(steps: Any, node: Any) -> Any:
        if not isinstance(node, Mapping):
            return node
        here = above + "".join(f"{jax.tree_util.keystr((s,), simple=True)}/" for s in steps)
        paths = {key: f"{here}{key}" for key in node}
        return {
            keys.get(path, key): _rekeyed(node[key], keys, f"{path}/")
            for key, path in paths.items()
        }

    return jax.tree_util.tree_map_with_path(visit, tree, is_leaf=lambda n: isinstance(n, Mapping))
