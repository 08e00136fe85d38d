"""The same step on many devices, three ways: jit over a mesh, pmap, shard_map.

Data parallelism: every device holds the whole state and an equal share of each batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from train.state import TrainState
from zoo.errors import UsageError

AXIS = "data"


def data_mesh(devices: int | None = None) -> Mesh:
    """One axis, "data", over the first `devices` devices (default: all).

    >>> train.data_mesh(1).size
    1
    """
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), (AXIS,), axis_types=(AxisType.Auto,), devices=chosen)


def parallelize(step: Callable[..., Any], how: str = "jit", *, mesh: Mesh | None = None) -> Any:
    """Compiles a train step for all devices of a mesh.

    Args:
        step: what `make_train_step` returned: with `axis_name=None` for "jit", and with
            `axis_name="data"` for "pmap" and "shard_map".
        how: "jit" (sharded arrays; the compiler places the collectives), "pmap", or "shard_map".
        mesh: one axis called "data"; default: all devices.

    Returns:
        A function `(state, batch, key) -> (state, metrics)` that takes a host batch of global
        size and gives back a replicated state. The state passed in may be donated: use the one
        returned.

    Raises:
        UsageError: unknown `how`, or a step made for another wrapper.

    >>> model = zoo.create_model("resnet8", num_classes=3, stage_sizes=(1,), width=8)
    >>> images = jnp.linspace(0, 1, 16 * 8 * 8).reshape(16, 8, 8, 1)
    >>> variables = zoo.init_variables(model, jax.random.key(0), images)
    >>> optimizer = optax.sgd(0.1)
    >>> state = train.create_state(variables, optimizer, key=jax.random.key(1))
    >>> step = train.make_train_step(model, optimizer, axis_name="data")
    >>> step = train.parallelize(step, "shard_map")
    >>> batch = {"input": np.asarray(images), "label": np.arange(16) % 3}
    >>> state, metrics = step(state, batch, state.key)
    >>> state.trained["head"]["kernel"].is_fully_replicated
    True
    """
    mesh = mesh or data_mesh()
    compiled = _wrapper(how, step)(step, mesh)
    return (_over_devices if how == "pmap" else _over_mesh)(compiled, mesh)


def lower(
    step: Callable[..., Any],
    how: str = "jit",
    *,
    create: Callable[[], TrainState],
    batch: Any,
    mesh: Mesh,
) -> jax.stages.Lowered:
    """Traces what `parallelize` makes, from shapes alone, for devices that need not be here.

    Args:
        step: as in `parallelize`.
        how: as in `parallelize`.
        create: makes the state; it is traced, and nothing is computed.
        batch: `jax.ShapeDtypeStruct`s of a host batch of global size.
        mesh: one axis called "data", such as over the devices of a TPU topology.

    Raises:
        UsageError: unknown `how`, or a step made for another wrapper.
    """
    compiled = _wrapper(how, step)(step, mesh)
    fields, own = jax.eval_shape(lambda: _apart(create()))
    if how == "pmap":
        each = lambda x: (mesh.size, x.shape[0] // mesh.size, *x.shape[1:])  # noqa: E731
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(each(x), x.dtype), batch)
    else:
        fields, own = _abstract((fields, own), NamedSharding(mesh, P()))
        batch = _abstract(batch, NamedSharding(mesh, P(AXIS)))
    return compiled.lower(fields, own, batch, own)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts a copy of every leaf on every device of the mesh; all processes hold the same leaves."""
    everywhere = NamedSharding(mesh, P())
    if jax.process_count() == 1:
        return jax.device_put(tree, everywhere)
    return jax.tree.map(lambda leaf: _on_all_hosts(leaf, everywhere), tree)


def place(batch: Any, mesh: Mesh) -> Any:
    """Splits this process's part of a batch over its devices, along the first axis."""
    sharding = NamedSharding(mesh, P(AXIS))
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch
    )


def _on_all_hosts(leaf: Any, everywhere: NamedSharding) -> jax.Array:
    """As `jax.device_put`, which takes no array of one host to the devices of others."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        words = _on_all_hosts(jax.random.key_data(leaf), everywhere)
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
    return jax.make_array_from_process_local_data(everywhere, np.asarray(leaf))


def check_divisible(batch_size: int, parts: int, of_what: str = "devices") -> None:
    """Refuses a batch that cannot be split evenly.

    Raises:
        UsageError: `batch_size` is not a multiple of `parts`; the nearest that are, are named.
    """
    if batch_size % parts:
        lower, upper = batch_size // parts * parts, -(-batch_size // parts) * parts
        near = f"{lower} or {upper}" if lower else str(upper)
        raise UsageError(
            f"`batch_size` must be divisible by the {parts} {of_what}, got {batch_size}; use {near}"
        )


def _wrapper(how: str, step: Callable[..., Any]) -> Callable[[Callable[..., Any], Mesh], Any]:
    if how not in WRAPPERS:
        raise UsageError(f"`how` must be one of {', '.join(WRAPPERS)}; got {how!r}")
    needed = None if how == "jit" else AXIS
    made_for = getattr(step, "keywords", {}).get("axis_name", needed)
    if made_for != needed:
        raise UsageError(
            f"{how!r} needs a step made with `axis_name={needed!r}`, got one with {made_for!r}"
        )
    return WRAPPERS[how]


def _abstract(tree: Any, sharding: NamedSharding) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def _with_jit(step: Callable[..., Any], mesh: Mesh) -> Any:
    everywhere, split = NamedSharding(mesh, P()), NamedSharding(mesh, P(AXIS))
    return jax.jit(
        _with_key_apart(step),
        in_shardings=(everywhere, everywhere, split, everywhere),
        out_shardings=(everywhere, everywhere),
        donate_argnums=0,
    )


def _with_shard_map(step: Callable[..., Any], mesh: Mesh) -> Any:
    # check_vma=False: otherwise gradients of replicated parameters arrive already summed.
    mapped = jax.shard_map(
        _with_key_apart(step),
        mesh=mesh,
        in_specs=(P(), P(), P(AXIS), P()),
        out_specs=(P(), P()),
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=0)


def _with_pmap(step: Callable[..., Any], mesh: Mesh) -> Any:
    return jax.pmap(
        _with_key_apart(step),
        axis_name=AXIS,
        in_axes=(None, None, 0, None),
        out_axes=(None, None),
        devices=list(mesh.devices.flat),
    )


def _with_key_apart(step: Callable[..., Any]) -> Callable[..., Any]:
    """Takes the fields of the state without its key, to donate them, and the key beside them.

    The usual third argument of a step is the state's own key, and what is donated cannot be given
    a second time.
    """

    def apart(fields: dict[str, Any], own: Any, batch: Any, key: Any) -> Any:
        return step(TrainState(**fields, key=own), batch, key)

    return apart


def _apart(state: TrainState) -> tuple[dict[str, Any], Any]:
    fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    own = fields.pop("key")
    return fields, own


def _over_mesh(compiled: Callable[..., Any], mesh: Mesh) -> Any:
    def run(state: TrainState, batch: Any, key: Any) -> Any:
        if getattr(state.step, "sharding", None) != NamedSharding(mesh, P()):
            state, key = replicate((state, key), mesh)
        return compiled(*_apart(state), place(batch, mesh), key)

    return run


def _over_devices(mapped: Callable[..., Any], mesh: Mesh) -> Any:
    local = [d for d in mesh.devices.flat if d.process_index == jax.process_index()]

    def run(state: TrainState, batch: Any, key: Any) -> Any:
        per_device = jax.tree.map(lambda x: np.reshape(x, (len(local), -1, *x.shape[1:])), batch)
        return mapped(*_apart(state), per_device, key)

    return run


WRAPPERS: dict[str, Callable[[Callable[..., Any], Mesh], Any]] = {
    "jit": _with_jit,
    "pmap": _with_pmap,
    "shard_map": _with_shard_map,
}
