"""Devices as a mesh, and how a state lies on it.

Two axes: along "data" devices hold the same state, along "fsdp" (fully sharded data parallelism)
each holds its part. A batch is split over both.

Rajbhandari et al. 2020, "ZeRO: memory optimizations toward training trillion parameter models".
"""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from zoo.errors import UsageError

AXIS, FSDP = "data", "fsdp"
SMALL = 1024  # numbers of an array below which an exchange costs more than the memory it saves


def data_mesh(devices: int | None = None) -> Mesh:
    """One axis, "data", over the first `devices` devices (default: all).

    >>> train.data_mesh(1).size
    1
    """
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), (AXIS,), axis_types=(AxisType.Auto,), devices=chosen)


def make_mesh(shape: str | None = None) -> Mesh:
    """All devices, as `shape` arranges them.

    Args:
        shape: as in `sides`; None is "data" alone.

    Raises:
        UsageError: there are not as many devices.

    >>> train.make_mesh("fsdp=1").axis_names
    ('data',)
    """
    arranged = arrangement(shape, jax.device_count())
    types = (AxisType.Auto,) * len(arranged)
    return jax.make_mesh(tuple(arranged.values()), tuple(arranged), axis_types=types)


def arrangement(shape: str | None, devices: int) -> dict[str, int]:
    """Devices along each axis; "fsdp" only where it has more than one.

    Args:
        shape: as in `sides`; "data" may be left out, and is what is left.
        devices: how many there are.

    Raises:
        UsageError: they cannot be arranged so.
    """
    wanted = sides(shape) if shape else {}
    each = math.prod(wanted.values())
    if each != devices if AXIS in wanted else devices % each:
        fits = [f"{FSDP}={n}" for n in range(1, devices + 1) if devices % n == 0]
        raise UsageError(
            f"`mesh` must hold all devices, which are {devices}, and {shape} arranges {each}; "
            f"possible are {', '.join(fits)}"
        )
    parts = wanted.get(FSDP, 1)
    return {AXIS: devices // parts} | ({FSDP: parts} if parts > 1 else {})


def sides(shape: str) -> dict[str, int]:
    """Reads the shape of a mesh, such as "data=4,fsdp=2".

    Raises:
        UsageError: it is written otherwise.
    """
    pairs = [re.fullmatch(rf"({AXIS}|{FSDP})=([1-9]\d*)", part) for part in shape.split(",")]
    found = {pair[1]: int(pair[2]) for pair in pairs if pair}
    if len(found) != len(pairs):
        raise UsageError(
            f"`mesh` must give numbers of devices along {AXIS} and {FSDP}, as in "
            f"{AXIS}=4,{FSDP}=2; got {shape!r}"
        )
    return found


def is_sharded(mesh: Mesh) -> bool:
    """Whether devices of a mesh hold parts of a state."""
    return FSDP in mesh.axis_names


def sharding_of(leaf: Any, mesh: Mesh) -> NamedSharding:
    """Where a leaf of a state lies: its longest axis that "fsdp" divides is split along that.

    A leaf without such an axis, or a small one, lies whole on every device.
    """
    parts, shape = mesh.shape.get(FSDP, 1), jnp.shape(leaf)
    fitting = [axis for axis, side in enumerate(shape) if side % parts == 0]
    if parts == 1 or not fitting or math.prod(shape) < SMALL:
        return NamedSharding(mesh, P())
    longest = max(fitting, key=lambda axis: shape[axis])
    return NamedSharding(
        mesh, P(*(FSDP if axis == longest else None for axis in range(len(shape))))
    )


def spread(tree: Any, mesh: Mesh) -> Any:
    """Puts every leaf where `sharding_of` says; all processes hold the same leaves."""
    return _put(tree, lambda leaf: sharding_of(leaf, mesh))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts a copy of every leaf on every device of the mesh; all processes hold the same leaves."""
    return _put(tree, lambda _: NamedSharding(mesh, P()))


def place(batch: Any, mesh: Mesh) -> Any:
    """Splits this process's part of a batch over its devices, along the first axis."""
    sharding = NamedSharding(mesh, P(mesh.axis_names))
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch
    )


def mesh_of(variables: Any) -> Mesh:
    """The mesh on whose devices variables lie in parts; of others that of all devices."""
    for leaf in jax.tree.leaves(variables):
        mesh = getattr(getattr(leaf, "sharding", None), "mesh", None)
        if isinstance(mesh, Mesh) and is_sharded(mesh):
            return mesh
    return data_mesh()


def _put(tree: Any, where: Callable[[Any], NamedSharding]) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    if jax.process_count() == 1:
        placed = jax.device_put(leaves, [where(leaf) for leaf in leaves])
    else:
        placed = [_on_all_hosts(leaf, where(leaf)) for leaf in leaves]
    return jax.tree.unflatten(structure, placed)


def _on_all_hosts(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """As `jax.device_put`, which takes no array of one host to the devices of others."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        words = _on_all_hosts(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
