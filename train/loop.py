"""The training loop: the one impure part, and what a run survives."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from checkpoints import store
from train import (
    config_file,
    data_facts,
    divergence,
    heartbeat,
    hosts,
    notices,
    run_checkpoints,
    seen,
    signals,
)
from train.asked import asked, heed, tell
from train.beginning import Beginning, begin
from train.config import Config
from train.curves import plot_curves
from train.data import found, train_batches
from train.evaluations import Figures, columns, measure, stalled
from train.loggers import loggers
from train.mesh import AXIS, make_mesh
from train.metrics_log import MetricsLog, Row
from train.objective import Objective
from train.parallel import parallelize
from train.plan import Plan, plan, trained_part
from train.profile import WARM, traced
from train.report import Clock, Reporter
from train.run import Now, Place, Run
from train.run_checkpoints import Progress
from train.run_directory import owned
from train.saving import is_better, require_figure, require_finite, require_sound, saved
from train.schedules import learning_rate
from train.state import TrainState, published
from train.step import make_train_step
from train.utilisation import share_per_rate
from zoo.parameters import Parameters


class Result(NamedTuple):
    """What a run came to.

    Attributes:
        state: the last state.
        metrics: its evaluation: "top1", "top5", "loss", "count"; of `config.evaluations` under
            "NAME/top1" and so on.
        history: rows of metrics.jsonl.
        directory: where everything lies; `checkpoints.load` takes it.
    """

    state: TrainState
    metrics: dict[str, float | int]
    history: list[Row]
    directory: Path | Any


def fit(
    config: Config,
    reporter: Reporter | None = None,
    *,
    objective: Objective | None = None,
    parameters: Parameters | None = None,
) -> Result:
    """Trains a model as `config` says and leaves everything in the run directory.

    The directory holds config.json, data.json, metrics.jsonl, metrics.csv, curves.png and, under
    steps/, the newest checkpoints and the best one. A run that was killed at any moment and is
    started again with `resume=True` ends in the same bits as one that was not.

    Args:
        config: the run.
        reporter: where to say what happens.
        objective: what is minimised, in place of what `config.objective` names. A run with one is
            resumed with it, from Python.
        parameters: what is trained, in place of what `config.parameters` names.

    Raises:
        UsageError: the config cannot be run as it stands, or training diverged.
        Interrupted: the run was asked to stop; it has saved its state.

    >>> config = train.Config(weights="resnet8.digits", dataset="zoo_digits", steps=2, out="run")
    >>> result = train.fit(config)
    >>> result.state.step, result.metrics["count"], [row["step"] for row in result.history]
    (Array(2, dtype=int32), 360, [1, 2])
    >>> checkpoints.load("run").card.trained_on
    'zoo_digits:train'
    """
    reporter = reporter or Reporter()
    config = config_file.completed(config)
    given: dict[str, Any] = {"objective": objective, "parameters": parameters}
    planned = hosts.together(lambda: plan(config, **given))
    others = (measured.data for measured in planned.evaluations.values())
    for data in (planned.training, planned.evaluation, *others):
        reporter.say(found(data))
    if part := trained_part(planned):
        reporter.say(part)
    if warning := seen.lost(planned.training, planned.network.card.preprocess):
        reporter.say(warning)
    with (
        owned(planned.config, planned.facts, reporter.say) as (directory, require_ours),
        heartbeat.watched(store.latest(directory)) as saved_at,
    ):
        place = Place(directory, require_ours, saved_at, reporter)
        try:
            while (result := _to_the_end(planned, place, objective)) is None:
                pass
            return result
        except Exception:
            require_ours()  # a directory that is gone explains whatever was raised
            raise


def _to_the_end(planned: Plan, place: Place, objective: Objective | None) -> Result | None:
    """Trains from the newest usable checkpoint; None if it was not one after all: set aside now."""
    mesh = make_mesh(planned.config.mesh)
    begun = begin(planned, place.directory, mesh, place.reporter.say, objective)
    with _opened(begun, place, mesh) as run:
        try:
            return _trained(run, Now(begun.state, begun.progress, begun.best, _stalled(run)))
        except divergence.Spoiled as spoiled:
            place.reporter.say(str(spoiled))
            run_checkpoints.set_aside([store.step_path(place.directory, spoiled.step)])
            return None


@contextlib.contextmanager
def _opened(begun: Beginning, place: Place, mesh: Mesh) -> Iterator[Run]:
    """Opens the log and the threads that read images, and closes them however the run ends."""
    planned, config, directory = begun.plan, begun.plan.config, place.directory
    step, share = _compiled(planned, mesh), share_per_rate(planned, mesh)
    if hosts.is_first():
        config_file.save(config, directory / "config.json")
        data_facts.record(directory, planned.facts)
    log = MetricsLog(directory, begun.progress.step, writes=hosts.is_first())
    batches = training_batches(planned, begun.progress.examples)
    with contextlib.ExitStack() as stack:
        stack.callback(batches.close)
        stack.callback(log.flush)
        others = stack.enter_context(loggers(config, directory, begun.progress.step))
        told = stack.enter_context(notices.watched())
        yield Run(planned, place, mesh, begun.infinite, step, batches, share, log, others, told)


def training_batches(planned: Plan, position: int) -> Any:
    """Batches of a run from where it has seen `position` examples; closing it ends its threads."""
    config = planned.config
    return train_batches(
        planned.training,
        preprocess=planned.network.card.preprocess,
        augment=planned.augmentation,
        batch_size=config.batch_size,
        seed=config.seed,
        position=position,
        shard=hosts.shard(),
        threads=config.threads,
        sampler=planned.sampler,
    )


def _compiled(planned: Plan, mesh: Mesh) -> Callable[..., Any]:
    config = planned.config
    step = make_train_step(
        planned.network.model,
        planned.optimizer,
        objective=planned.objective,
        parameters=planned.parameters,
        axis_name=None if config.parallel == "jit" else AXIS,
        batch_norm_groups=config.batch_norm_groups,
        accumulate=config.accumulate,
    )
    return parallelize(step, config.parallel, mesh=mesh)


def _trained(run: Run, now: Now) -> Result:
    """Trains the steps that are left, then evaluates, saves and draws the curves."""
    config, directory, resumed_at = run.plan.config, run.place.directory, now.progress.step
    figures: Figures | None = None
    clock = Clock()
    with (
        signals.collected() as received,
        run.place.reporter.steps(resumed_at, run.plan.steps),
        traced(directory / "profile", resumed_at + WARM, _traces(config)) as before_update,
    ):
        while not _is_over(run, now):
            before_update(now.progress.step, now.state)
            now = _updated(run, now, clock)
            clock.count(config.batch_size)
            if now.progress.step == resumed_at + 1 > 1:
                require_sound(run, now, resumed_at)
            figures = None
            if _due(run, now, config.log_every) or _evaluation_due(run, now):
                now, figures = _logged(run, now, clock)
            run.place.reporter.advance(now.progress.step)
            over, together = _is_over(run, now), _due(run, now, config.log_every)
            stopped, noticed = (0, False) if over else asked(run, received, together=together)
            if figures is not None:
                require_figure(run, now, figures)
            wanted = stopped or noticed or _due(run, now, config.save_every)
            if wanted or is_better(run, now, figures):
                now = saved(run, now, figures)
            if noticed:
                tell(run, now)
            if stopped:
                raise signals.Interrupted(stopped, now.progress.step, directory)
    if now.progress.step < run.plan.steps:
        run.place.reporter.say(
            f"ended early: {now.stalled} evaluations without a better "
            f"{run.plan.config.retention.metric}; RUN@best is the best"
        )
    figures = figures or _measured(run, now)
    if hosts.is_first():
        plot_curves(run.log.rows, directory / "curves.png", title=directory.name)
    return Result(now.state, figures, run.log.rows, directory)


def _updated(run: Run, now: Now, clock: Clock) -> Now:
    with clock.waiting():
        batch = next(run.batches)
    state, metrics = run.step(now.state, batch, now.state.key)
    step, examples, window, devices = now.progress
    seen = examples + run.plan.config.batch_size
    return now._replace(state=state, progress=Progress(step + 1, seen, (*window, metrics), devices))


def _is_over(run: Run, now: Now) -> bool:
    patience = run.plan.config.early_stop
    is_stalled = patience is not None and now.stalled >= patience
    return is_stalled or now.progress.step >= run.plan.steps


def _traces(config: Config) -> int | None:
    return config.profile if hosts.is_first() else None


def _stalled(run: Run) -> int:
    return stalled(run.log.rows, run.plan.config.retention.best)


def _due(run: Run, now: Now, every: int) -> bool:
    return now.progress.step % every == 0 or _is_over(run, now)


def _evaluation_due(run: Run, now: Now) -> bool:
    return _due(run, now, run.plan.config.eval_every or -(-run.plan.steps // 10))


def _logged(run: Run, now: Now, clock: Clock) -> tuple[Now, Figures | None]:
    """Writes a row of means over the updates since the last, with an evaluation if it is due."""
    step, examples, window, _ = now.progress
    means = {name: float(np.mean([float(m[name]) for m in window])) for name in window[0]}
    require_finite(run, now, means["loss"])
    row: Row = {
        "step": step,
        "examples": examples,
        "epoch": round(examples / len(run.plan.training), 4),
        **means,
        "learning_rate": learning_rate(run.plan.schedule, step - 1, now.state.opt_state),
        **clock.figures(),
    }
    if run.share is not None:
        row["mfu"] = round(row["images_per_second"] * run.share, 4)
    before, now = now, now._replace(progress=now.progress._replace(window=()))
    figures = _measured(run, now, lambda: heed(run, before)) if _evaluation_due(run, now) else None
    row |= columns(figures or {})
    run.place.require_ours()
    for log in (run.log.append, *run.loggers):
        log(row)
    run.place.reporter.advance(step, row)
    if figures:
        run.place.reporter.evaluated(row)
        now = now._replace(stalled=_stalled(run))
    return now, figures


def _measured(run: Run, now: Now, between: Callable[[], None] = lambda: None) -> Figures:
    planned = run.plan
    variables = published(now.state, planned.parameters)
    batch_size = max(planned.config.batch_size, 256)
    figures = measure(
        *(planned.network, variables, planned.evaluation, planned.evaluations, batch_size),
        between=between,
    )
    require_finite(run, now, figures["loss"])
    return figures
