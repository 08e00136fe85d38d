"""Kernels of few values as the numbers of their points, a few bits each.

A kernel that `zoo.parameters.points` rounded becomes `{"codes": uint8, "least": float32, "range":
float32}`, ceil(n bits / 8) bytes and 8 for each bucket, and "points" where these are learnt. The
least value of a bucket is at its first point and the largest at its last, so that points are kept
scaled to 0 and 1. The first code has the highest bits of the first byte.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Array, UInt8

from zoo.errors import UsageError
from zoo.parameters.points import BUCKET, KERNELS, POINTS, assigned, buckets, check, equal_steps
from zoo.parameters.select import map_chosen, select, several


def stored_as(
    trained: Any, bits: int, bucket: int = BUCKET, patterns: str | Sequence[str] = KERNELS
) -> dict[str, Any]:
    """What a card says under `stored_as` of kernels with points that were learnt.

    Args:
        trained: what a run with `zoo.parameters.points.learned_points` trained.
        bits: of it.
        bucket: of it.
        patterns: of it.
    """
    found: dict[Any, Any] = flatten_dict(trained)
    held = {"/".join(p[:-1]): _scaled(x) for p, x in found.items() if p[-1] == POINTS}
    arguments = {"bits": bits, "bucket": bucket, "patterns": list(several(patterns))}
    return {"name": "points", "arguments": {**arguments, "points": held}}


def pack(
    params: Any,
    *,
    bits: int,
    bucket: int = BUCKET,
    patterns: str | Sequence[str] = KERNELS,
    points: Mapping[str, Sequence[float]] | None = None,
) -> Any:
    """The stored tree, see above.

    Args:
        params: with kernels of such values.
        bits: of each number.
        bucket: numbers that share a least value and a range.
        patterns: of the kernels, as in `zoo.parameters.select`.
        points: of each kernel by its path, where they are not equal steps.
    """
    check(bits, bucket)

    def packed(path: Any, kernel: Array, is_chosen: bool) -> Any:
        if not is_chosen or kernel.ndim < 2:
            return kernel
        known = _points(points, jax.tree_util.keystr(path, simple=True, separator="/"), bits)
        scaled, least, span = buckets(kernel, bucket)
        codes = pack_bits(assigned(scaled, known).reshape(-1)[: kernel.size], bits)
        stored = {"codes": codes, "least": least[:, 0], "range": span[:, 0]}
        return stored if points is None else {**stored, "points": known}

    return jax.tree_util.tree_map_with_path(packed, params, select(params, patterns))


def unpack(
    stored: Any,
    like: Any,
    *,
    bits: int,
    bucket: int = BUCKET,
    patterns: str | Sequence[str] = KERNELS,
    points: Mapping[str, Sequence[float]] | None = None,
) -> Any:
    """The parameters that `pack` stored; arguments as there."""
    del points  # they are beside the codes

    def unpacked(leaf: Any, there: Mapping[str, Array]) -> Array:
        known = there["points"] if "points" in there else equal_steps(bits)
        codes = unpack_bits(there["codes"], bits, leaf.size)
        filled = jnp.pad(codes, (0, -leaf.size % bucket)).reshape(-1, bucket)
        rows = there["least"][:, None] + there["range"][:, None] * known[filled]
        return rows.reshape(-1)[: leaf.size].reshape(leaf.shape).astype(leaf.dtype)

    return map_chosen(unpacked, patterns, like, stored)


def pack_bits(codes: Array, bits: int) -> UInt8[Array, " n"]:
    """So many bits of each number, one after another, the highest first."""
    shifts = jnp.arange(bits - 1, -1, -1)[None]
    return jnp.packbits((codes[:, None] >> shifts) & 1)


def unpack_bits(packed: UInt8[Array, " n"], bits: int, count: int) -> Array:
    """The numbers that `pack_bits` packed."""
    each = jnp.unpackbits(packed)[: count * bits].reshape(count, bits)
    return (each.astype(jnp.int32) << jnp.arange(bits - 1, -1, -1)[None]).sum(1)


def _points(points: Mapping[str, Sequence[float]] | None, path: str, bits: int) -> Array:
    if points is None:
        return equal_steps(bits)
    found = points.get(path) if isinstance(points, Mapping) else None
    if not isinstance(found, Sequence) or len(found) != 2**bits:
        raise UsageError(f"`points` of {path} must be {2**bits} numbers")
    return jnp.asarray(found, jnp.float32)


def _scaled(points: Array) -> list[float]:
    """Sorted points with the first that a bucket has at 0 and the last at 1."""
    known = np.sort(np.asarray(points, np.float64))
    first, last = (float(known[int(assigned(jnp.float32(v), jnp.asarray(known)))]) for v in (0, 1))
    return [float(np.float32((p - first) / max(last - first, 1e-10))) for p in known]
