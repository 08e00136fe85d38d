"""Operations on trees of variables: pure, tree in and tree out.

Leaves are named by their path, `params/stage1_block0/conv1/kernel`. These names are the checkpoint
format: they appear in manifests, in error messages and in `Pretrained.fresh`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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


def listed(lines: Sequence[str], most: int = 60) -> str:
    """The lines of `diff` below each other, as many as a person reads."""
    more = [f"... and {len(lines) - most} more"] if len(lines) > most else []
    return "\n  ".join([*lines[:most], *more])


def adapt(
    variables: Mapping[str, Any], template: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Variables in the shapes of another form of the same architecture.

    A leaf whose shape is the same is kept. The first convolution takes another number of channels
    (`adapt_input`), tables of positions another grid (`resize_positions`), and a classifier that
    the template brings as arrays is taken from there.

    Args:
        variables: trained variables.
        template: the wanted tree; leaves are arrays where they are fresh, else shapes.

    Returns:
        The new tree, of the structure of `template`, and the paths of its fresh leaves.

    Raises:
        UsageError: the trees differ in more than that; the message holds the whole diff.
    """
    source, target = flatten(variables), flatten(template)
    fresh = tuple(path for path, leaf in target.items() if not _is_shape(leaf))
    kept = {p: _adapted(p, leaf, target) for p, leaf in source.items() if p not in fresh}
    wanted = {path: leaf for path, leaf in target.items() if path not in fresh}
    if lines := diff(_specs(wanted), _specs(kept)):
        raise UsageError(
            "Only classifiers, the first convolution and positions may change with the options, "
            f"but {len(lines)} other leaves do:\n  {listed(lines)}"
        )
    leaves = [target[path] if path in fresh else kept[path] for path in target]
    return jax.tree.unflatten(jax.tree.structure(dict(template)), leaves), fresh


def adapt_input(kernel: Float[Array, "h w c out"], channels: int) -> Float[Array, "h w n out"]:
    """A first convolution for another number of input channels.

    One channel: the sum over the old ones, so that a grey image gives what it gave as RGB. More:
    the old ones in turn, times old / new, so that activations keep their size.

    Reference: `timm.models.adapt_input_conv`.
    """
    old = kernel.shape[2]
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    repeats = -(-channels // old)
    return jnp.tile(kernel, (1, 1, repeats, 1))[:, :, :channels] * (old / channels)


def resize_positions(table: Float[Array, "..."], shape: Sequence[int]) -> Float[Array, "..."]:
    """Positions of a square grid for another one, by antialiased bicubic interpolation.

    The kernel is Keys's with a = -1/2, widened where the grid shrinks, and its weights are
    normalised at the borders; pixel centres are aligned.

    Args:
        table: a map (1, rows, columns, d), or tokens (1, 1 + n, d) after the class token, whose
            position is kept.
        shape: shape of the result.

    Raises:
        UsageError: tokens that are no square grid.

    Reference: `timm.layers.resample_abs_pos_embed`.
    """
    if table.ndim == 4:
        return jax.image.resize(table, shape, "cubic")
    old, new, width = _side(table.shape[1] - 1), _side(shape[1] - 1), table.shape[2]
    grid = table[:, 1:].reshape(1, old, old, width)
    tokens = jax.image.resize(grid, (1, new, new, width), "cubic").reshape(1, -1, width)
    return jnp.concatenate([table[:, :1], tokens], axis=1)


def _adapted(path: str, leaf: Any, target: Mapping[str, Any]) -> Any:
    """A leaf in the shape that is wanted, where there is a way."""
    wanted = target[path].shape if path in target else leaf.shape
    if wanted == leaf.shape or len(wanted) != leaf.ndim:
        return leaf
    if path.endswith("positions"):
        return resize_positions(leaf, wanted)
    same_but_input = len(wanted) == 4 and (*wanted[:2], wanted[3]) == (
        *leaf.shape[:2],
        leaf.shape[3],
    )
    if path.endswith("/kernel") and same_but_input:
        return adapt_input(leaf, wanted[2])
    return leaf


def _side(tokens: int) -> int:
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise UsageError(f"{tokens} positions are no square grid, so they cannot be interpolated.")
    return side


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def count(tree: Any) -> int:
    """Number of numbers in a tree."""
    return sum(np.size(leaf) for leaf in jax.tree.leaves(tree))


def _specs(leaves: Mapping[str, Any]) -> dict[str, str]:
    return {path: _spec(leaf) for path, leaf in leaves.items()}


def _spec(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
