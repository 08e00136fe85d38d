"""Where a run begins, or goes on: its state on every device, and how far it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from checkpoints import store
from checkpoints.retention import rank
from train import divergence, run_checkpoints
from train.mesh import spread
from train.objective import Objective
from train.plan import Plan, continued
from train.run_checkpoints import Progress
from train.state import TrainState, create_state
from train.stored_state import to_stored

Rank = tuple[float, float]


class Beginning(NamedTuple):
    """A run before its first update, or its next.

    Attributes:
        plan: of what is left.
        state: on every device.
        progress: what has been done.
        best: rank of its best checkpoint, see `checkpoints.retention`, or None.
        infinite: leaves that may hold an infinity, see `train.divergence`.
    """

    plan: Plan
    state: TrainState
    progress: Progress
    best: Rank | None
    infinite: frozenset[str]


def begin(
    planned: Plan,
    directory: Path | Any,
    mesh: Mesh,
    say: Callable[[str], None],
    objective: Objective | None = None,
) -> Beginning:
    """The run as its newest usable checkpoint has it, or a fresh one; newer ones are set aside.

    Args:
        planned: as the run begins.
        directory: of the run.
        mesh: of the devices that hold the state.
        say: is told news.
        objective: as in `train.fit`.
    """

    def attempt(checkpoint: Path | Any) -> Beginning:
        return _from(checkpoint, planned, mesh, objective)

    found, refused = run_checkpoints.newest_usable(directory, attempt, say)
    run_checkpoints.set_aside(refused)
    if (diverged := divergence.remembered(directory)) is not None:
        say(f"the run diverged by step {diverged}: it will again, if nothing was changed")
    if found is None:
        return _from(None, planned, mesh, objective)
    if found.progress.devices not in (None, mesh.size):
        say(f"devices: {found.progress.devices} before, now {mesh.size}")
    say(f"resuming {directory} at step {found.progress.step}")
    by = planned.config.retention.best
    best = store.best(directory, by)
    return found._replace(best=rank(store.read_card(best).metrics, by) if best else None)


def fresh_state(planned: Plan) -> TrainState:
    """The state before the first update."""
    return create_state(
        planned.network.variables,
        planned.optimizer,
        key=run_key(planned.config.seed),
        objective=planned.objective,
        parameters=planned.parameters,
        average=planned.config.ema,
    )


def run_key(seed: int) -> jax.Array:
    """Key that a run folds with its step for dropout and the like; see `train.network.init_key`."""
    return jax.random.fold_in(jax.random.key(seed), 1)


def _from(
    checkpoint: Path | Any | None, planned: Plan, mesh: Mesh, objective: Objective | None
) -> Beginning:
    progress = run_checkpoints.read_progress(checkpoint) if checkpoint else Progress()
    planned = continued(planned, progress.step, progress.examples, objective)
    state, parameters = fresh_state(planned), planned.parameters
    infinite = divergence.infinite(to_stored(state, parameters))
    if checkpoint:
        state = run_checkpoints.restore(checkpoint, planned.network.card, state, parameters)
    return Beginning(planned, spread(state, mesh), progress, None, infinite)
