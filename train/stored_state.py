"""A state as it is stored: what `checkpoints.load` reads, and beside it what a run needs."""

from typing import Any

import jax

from train.objective import Remade
from train.state import TrainState, published
from zoo.parameters import Parameters


def to_stored(state: TrainState, parameters: Parameters | None = None) -> dict[str, Any]:
    """The published variables, and under "train" all that they do not tell.

    Memory that is made again is left out, and so is what is trained where it is what is published.
    """
    rest = {
        "step": state.step,
        "opt_state": state.opt_state,
        "key": state.key,
        "memory": _saved(state.memory),
    }
    if parameters is not None:
        rest |= {"raw_params": state.trained, "kept": state.kept}
        rest["average"] = state.average and state.average.params
    elif state.average is not None:
        rest["raw_params"] = state.trained
    held = {name: tree for name, tree in rest.items() if jax.tree.leaves(tree)}
    return {**published(state, parameters), "train": held}


def from_stored(
    state: TrainState, tree: dict[str, Any], parameters: Parameters | None = None
) -> TrainState:
    """The inverse of `to_stored`.

    Args:
        state: one of the same run, as `create_state` makes it.
        tree: what was stored.
        parameters: as the run was created with.
    """
    rest = tree["train"]
    average = rest.get("average", tree["params"])
    return state.replace(
        step=rest["step"],
        trained=rest.get("raw_params", tree["params"]),
        kept=rest.get("kept", state.kept),
        batch_stats=tree.get("batch_stats", {}),
        opt_state=rest["opt_state"],
        average=state.average and state.average.replace(params=average),
        memory=_with(state.memory, rest.get("memory")),
        key=rest["key"],
    )


def _is_remade(node: Any) -> bool:
    return isinstance(node, Remade)


def _saved(memory: Any) -> Any:
    return jax.tree.map(lambda x: None if _is_remade(x) else x, memory, is_leaf=_is_remade)


def _with(memory: Any, saved: Any) -> Any:
    """Memory as it was saved; what is made again is that of `memory`."""
    stored = iter(jax.tree.leaves(saved))
    return jax.tree.map(lambda x: x if _is_remade(x) else next(stored), memory, is_leaf=_is_remade)
