"""Leaves of a tree by the words of their paths: the one way in which parameters are chosen."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax

from zoo.errors import UsageError, closest

T = TypeVar("T")


def paths(tree: Any) -> list[str]:
    """Paths of the leaves of a tree, such as "stage1/block0/conv1/kernel", in its order."""
    return [_written(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def select(tree: Any, patterns: str | Mapping[str, T] | Sequence[str], default: Any = None) -> Any:
    """A tree like `tree` of what the first pattern that matches each leaf's path says.

    Args:
        tree: any tree, such as parameters.
        patterns: regular expressions, searched for anywhere in a path: "head" is every path with
            that word, "^head/" those that start with it. A mapping gives a value for each; one
            pattern or several stand for True, and False elsewhere.
        default: for leaves that no pattern matches.

    Raises:
        UsageError: a pattern matches nothing, or is no regular expression.
    """
    if not isinstance(patterns, Mapping):
        return select(tree, dict.fromkeys(several(patterns), True), default=False)
    found = paths(tree)
    for pattern in patterns:
        if not any(matches(pattern, path) for path in found):
            raise UsageError(
                f"no parameter has a path with {pattern!r}{closest(pattern, _words(found))}; there "
                f"are {', '.join(found[:3])} and {max(len(found) - 3, 0)} more"
            )

    def value(path: Any, leaf: Any) -> Any:
        del leaf
        written = _written(path)
        return next((v for p, v in patterns.items() if matches(p, written)), default)

    return jax.tree_util.tree_map_with_path(value, tree)


def map_chosen(
    change: Callable[..., Any], patterns: str | Sequence[str], like: Any, *others: Any
) -> Any:
    """A tree with `change(leaf, *others)` in the place of each chosen leaf of two axes or more.

    Args:
        change: of a leaf of `like` and of what stands in its place in the other trees.
        patterns: as of `select`.
        like: tree of the leaves; other leaves come from the last tree as they are.
        others: trees like it, with any trees in the places of its leaves.
    """
    trees = (like, *others)
    return jax.tree.map(
        lambda chosen, leaf, *there: (
            change(leaf, *there) if chosen and leaf.ndim > 1 else (leaf, *there)[-1]
        ),
        select(like, patterns),
        *trees,
    )


def several(patterns: str | Sequence[str]) -> Sequence[str]:
    """Patterns of which there may be one."""
    return (patterns,) if isinstance(patterns, str) else patterns


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern is found in a path.

    Raises:
        UsageError: it is no regular expression.
    """
    try:
        return re.search(pattern, path) is not None
    except re.error as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from error


def _words(found: list[str]) -> list[str]:
    """What may have been meant: every part of a path, and every path."""
    return sorted({word for path in found for word in (*path.split("/"), path)})


def _written(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
