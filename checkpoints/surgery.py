"""Operations on trees of variables: pure, tree in and tree out.

Leaves are named by their path, `params/stage1_block0/conv1/kernel`. These names are the checkpoint
format: they appear in manifests, in error messages and in `Pretrained.fresh`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from zoo.errors import UsageError


def flatten(tree: Any) -> dict[str, Any]:
    """Leaves of any pytree by path, in JAX's order (dictionaries sorted by key)."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): leaf for p, leaf in leaves}


def describe(tree: Any) -> dict[str, str]:
    """Type and shape of every leaf by path, as in `{"params/head/bias": "float32[10]"}`.

    Leaves may be arrays, `ShapeDtypeStruct`s or numbers.
    """
    return {path: _spec(leaf) for path, leaf in flatten(tree).items()}


def diff(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """One line for each leaf in which two descriptions differ; empty if they agree.

    Args:
        expected: result of `describe` for the tree that is asked for.
        found: the same for the tree that is there.
    """
    lines = []
    for path in [*expected, *(p for p in found if p not in expected)]:
        if path not in found:
            lines.append(f"missing:    {path} {expected[path]}")
        elif path not in expected:
            lines.append(f"unexpected: {path} {found[path]}")
        elif expected[path] != found[path]:
            lines.append(f"differs:    {path} is {found[path]}, expected {expected[path]}")
    return lines


def fresh_head(
    variables: Mapping[str, Any], template: Mapping[str, Any], head: str = "params/head"
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Variables with a new classifier: every leaf under `head` comes from `template`.

    Args:
        variables: trained variables.
        template: fresh variables of the same architecture with the wanted number of classes.
        head: path below which leaves are replaced.

    Returns:
        The new tree, of the structure of `template`, and the paths of its fresh leaves.

    Raises:
        UsageError: the trees differ elsewhere than below `head`; the message holds the whole diff.
    """
    source, target = flatten(variables), flatten(template)
    fresh = tuple(path for path in target if _below(path, head))
    kept = {path: leaf for path, leaf in source.items() if not _below(path, head)}
    wanted = {path: leaf for path, leaf in target.items() if path not in fresh}
    if lines := diff(_specs(wanted), _specs(kept)):
        raise UsageError(
            f"Only the leaves below {head!r} may change with the number of classes, but "
            f"{len(lines)} others do:\n  " + "\n  ".join(lines)
        )
    leaves = [target[path] if path in fresh else source[path] for path in target]
    return jax.tree.unflatten(jax.tree.structure(dict(template)), leaves), fresh


def count(tree: Any) -> int:
    """Number of numbers in a tree."""
    return sum(np.size(leaf) for leaf in jax.tree.leaves(tree))


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def _specs(leaves: Mapping[str, Any]) -> dict[str, str]:
    return {path: _spec(leaf) for path, leaf in leaves.items()}


def _spec(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
