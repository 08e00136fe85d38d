"""Saves of a run in progress, none of a state that has diverged."""

import math
from typing import Any, NoReturn

from checkpoints import store
from checkpoints.retention import TOP1, rank
from train import divergence, hosts, run_checkpoints
from train.evaluations import Figures
from train.mesh import spread
from train.run import Now, Run
from train.stored_state import to_stored
from zoo.errors import UsageError, closest


def is_better(run: Run, now: Now, figures: Figures | None) -> bool:
    """Whether there is an evaluation, and it is better than all before it."""
    found = rank(figures or {}, run.plan.config.retention.best)
    return found is not None and (now.best is None or found > now.best)


def saved(run: Run, now: Now, figures: Figures | None) -> Now:
    """Writes a checkpoint; those that the config does not keep are deleted.

    Raises:
        UsageError: training has diverged, and nothing was written.
    """
    planned, directory, step = run.plan, run.place.directory, now.progress.step
    card = _card(run, now, figures)
    run.place.require_ours()
    run.log.flush()  # a run goes on from here with the rows that were logged before
    state = spread(now.state, run.mesh)  # pmap's knows only the devices of one process
    for metrics in now.progress.window:
        require_finite(run, now, metrics["loss"])
    options: Any = {"infinite": run.infinite, "parameters": planned.parameters}
    if flaws := run_checkpoints.save(directory, state, card, step=step, **options):
        _diverged(run, now, f"{divergence.described(flaws)} became infinite or NaN")
    run.place.saved_at(store.step_path(directory, step))
    if hosts.is_first():
        store.keep(directory, planned.config.retention)
        if (divergence.remembered(directory) or step) < step:
            divergence.forget(directory)
    ranked = rank(card.metrics, planned.config.retention.best)
    return now._replace(best=max(filter(None, (now.best, ranked)), default=None))


def _card(run: Run, now: Now, figures: Figures | None) -> Any:
    planned, config = run.plan, run.plan.config
    progress = now.progress._replace(devices=run.mesh.size)
    of = f"{planned.evaluation.name}:{planned.evaluation.split}"
    return run_checkpoints.run_card(
        planned.network.card,
        name=run.place.directory.name,
        source=run_checkpoints.run_source(progress, config.weights, config.retention.best),
        trained_on=f"{planned.training.name}:{planned.training.split}",
        metrics={**figures, "of": of} if figures else {},
    )


def require_sound(run: Run, now: Now, resumed_at: int) -> None:
    """Refuses a checkpoint from which no rate helps: what the first update comes from is bad.

    That is the loss, the batch statistics and the moments of gradients. It is looked at where a run
    goes on that has diverged.
    """
    if divergence.remembered(run.place.directory) is None:
        return
    flaws = divergence.flaws(to_stored(now.state, run.plan.parameters), run.infinite)
    bad = [path for path in flaws if path.startswith(("batch_stats/", "train/opt_state/"))]
    if bad or not math.isfinite(now.progress.window[-1]["loss"]):
        raise divergence.Spoiled(resumed_at)


def require_finite(run: Run, now: Now, loss: Any) -> None:
    """Refuses to go on, or to save, where training has diverged."""
    if not math.isfinite(loss):
        _diverged(run, now, f"the loss became {loss}")


def require_figure(run: Run, now: Now, figures: Figures) -> None:
    """Refuses to go on where the best checkpoint could not be told, once all is saved.

    Raises:
        UsageError: no evaluation has the figure that `config.retention` goes by.
    """
    wanted = run.plan.config.retention.metric
    if wanted in (TOP1, *figures):
        return
    saved(run, now, figures)
    raise UsageError(
        f"`retention` goes by {wanted!r}, and the evaluations give {', '.join(figures)}"
        f"{closest(wanted, figures)}. Step {now.progress.step} is saved; continue "
        f"{run.place.directory} with `resume` and another `retention`"
    )


def _diverged(run: Run, now: Now, how: str) -> NoReturn:
    step, directory = now.progress.step, run.place.directory
    if hosts.is_first():
        divergence.remember(directory, step)
    newest, rates = store.latest(directory), run.plan.config.optimization
    go_on = f"from step {int(newest.name)}" if newest else "from the beginning"
    raise UsageError(
        f"training diverged: {how} by step {step}, and nothing of it was saved. Continue "
        f"{directory} {go_on} with `resume` and a lower `learning_rate` (now "
        f"{rates.learning_rate:g}) or `clip_norm` (now {rates.clip_norm})"
    )
