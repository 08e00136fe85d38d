"""The same step on many devices, three ways: jit over a mesh, pmap, shard_map.

Every device works on an equal share of each batch. It holds the whole state, or under jit on a mesh
with the axis "fsdp" a part of it; see `train.mesh`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from train.mesh import AXIS, data_mesh, is_sharded, place, sharding_of, spread
from train.state import TrainState
from zoo.errors import UsageError


def parallelize(step: Callable[..., Any], how: str = "jit", *, mesh: Mesh | None = None) -> Any:
    """Compiles a train step for all devices of a mesh.

    Args:
        step: what `make_train_step` returned: with `axis_name=None` for "jit", and with
            `axis_name="data"` for "pmap" and "shard_map".
        how: "jit" (sharded arrays; the compiler places the collectives), "pmap", or "shard_map".
        mesh: of `data_mesh` or `make_mesh`; default: all devices along "data".

    Returns:
        A function `(state, batch, key) -> (state, metrics)` that takes a host batch of global
        size and gives back a state that is replicated along "data", and in parts along "fsdp". The
        state passed in may be donated: use the one returned.

    Raises:
        UsageError: unknown `how`, a step made for another wrapper, or a mesh that it cannot use.

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
    compiled = _wrapper(how, step, mesh)(step, mesh)
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
        mesh: as in `parallelize`, such as over the devices of a TPU topology.

    Raises:
        UsageError: as in `parallelize`.
    """
    compiled = _wrapper(how, step, mesh)(step, mesh)
    fields, own = jax.eval_shape(lambda: _apart(create()))
    if how == "pmap":
        each = lambda x: (mesh.size, x.shape[0] // mesh.size, *x.shape[1:])  # noqa: E731
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(each(x), x.dtype), batch)
    else:
        fields, own = _abstract((fields, own), lambda leaf: sharding_of(leaf, mesh))
        batch = _abstract(batch, lambda _: NamedSharding(mesh, P(mesh.axis_names)))
    return compiled.lower(fields, own, batch, own)


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


def _wrapper(
    how: str, step: Callable[..., Any], mesh: Mesh
) -> Callable[[Callable[..., Any], Mesh], Any]:
    if how not in WRAPPERS:
        raise UsageError(f"`how` must be one of {', '.join(WRAPPERS)}; got {how!r}")
    if how != "jit" and is_sharded(mesh):
        raise UsageError(f"a mesh with fsdp needs `how` 'jit', got {how!r}")
    needed = None if how == "jit" else AXIS
    made_for = getattr(step, "keywords", {}).get("axis_name", needed)
    if made_for != needed:
        raise UsageError(
            f"{how!r} needs a step made with `axis_name={needed!r}`, got one with {made_for!r}"
        )
    return WRAPPERS[how]


def _abstract(tree: Any, sharding: Callable[[Any], NamedSharding]) -> Any:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding(x)), tree
    )


def _with_jit(step: Callable[..., Any], mesh: Mesh) -> Any:
    run = _with_key_apart(step)

    def placed(fields: dict[str, Any], own: Any, batch: Any, key: Any) -> Any:
        there = lambda x: jax.lax.with_sharding_constraint(x, sharding_of(x, mesh))  # noqa: E731
        return jax.tree.map(there, run(fields, own, batch, key))

    return jax.jit(placed, donate_argnums=0)


def _with_shard_map(step: Callable[..., Any], mesh: Mesh) -> Any:
    # check_vma=False: otherwise gradients of replicated parameters arrive already summed.
    mapped = jax.shard_map(
        _with_key_apart(step),
        mesh=mesh,
        in_specs=(P(), P(), P(mesh.axis_names), P()),
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
            state, key = spread((state, key), mesh)
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
