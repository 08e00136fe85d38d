"""The training loop: the one impure part, and what a run survives."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
import optax

from checkpoints import store
from train import config as configs
from train import divergence, hosts, methods, peers, recorded, saved, seen, setup, signals
from train.augment import Augment
from train.config import Config
from train.data import Dataset, found, train_batches
from train.evaluation import evaluate
from train.loggers import Logger, loggers, require_libraries
from train.losses import softmax_cross_entropy
from train.objective import Objective
from train.optimizer import check_rates, learning_rate, make_optimizer, make_schedule
from train.parallel import AXIS, data_mesh, parallelize, replicate
from train.report import Clock, MetricsLog, Reporter, Row, plot_curves
from train.rundir import owned
from train.saved import Progress, Window
from train.state import TrainState, create_state, published
from train.step import make_train_step
from train.stored import to_stored
from train.task import task_of
from zoo.errors import UsageError
from zoo.parameters import Parameters

KEPT = 2  # checkpoints of a run that stay beside the best: the newest and one to fall back on


class Result(NamedTuple):
    """What a run came to.

    Attributes:
        state: the last state.
        metrics: its evaluation: "top1", "top5", "loss", "count".
        history: rows of metrics.jsonl.
        directory: where everything lies; `checkpoints.load` takes it.
    """

    state: TrainState
    metrics: dict[str, float | int]
    history: list[Row]
    directory: Path | Any


class Data(NamedTuple):
    """What is trained on, what is evaluated on, and what `train.recorded` says of both."""

    training: Dataset
    evaluation: Dataset
    facts: dict[str, Any]


class Beginning(NamedTuple):
    """Where a run begins or goes on.

    Attributes:
        progress: what has been done.
        steps: updates of the whole run.
        schedule: rates of all of them.
        optimizer: the transformation.
        objective: what is minimised.
        parameters: what is trained, or None if that is everything.
        state: on every device.
        infinite: leaves that may hold an infinity, see `train.divergence`.
    """

    progress: Progress
    steps: int
    schedule: optax.Schedule
    optimizer: optax.GradientTransformationExtraArgs
    objective: Objective
    parameters: Parameters | None
    state: TrainState
    infinite: frozenset[str]


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
    """
    reporter = reporter or Reporter()
    config = configs.completed(config)
    require_libraries(config)
    for name, value in {"objective": objective, "parameters": parameters}.items():
        if value is not None:
            config = dataclasses.replace(config, **{name: (methods.recorded(value),)})
    training, evaluation = hosts.together(lambda: setup.load_data(config))
    for opened in training, evaluation:
        reporter.say(found(opened))
    start = hosts.together(lambda: setup.load_model(config, training))
    if warning := seen.lost(training, start.card.preprocess):
        reporter.say(warning)
    check_rates(config.optimization, start.variables["params"])
    data = hosts.together(lambda: Data(training, evaluation, recorded.facts(training, evaluation)))
    given = (objective, parameters)
    with (
        owned(config, data.facts, reporter.say) as (directory, require_ours),
        peers.watched(store.latest(directory)) as saved_at,
    ):
        make_run = functools.partial(
            *(Run, config, start, data, directory, require_ours, saved_at, reporter, given)
        )
        try:
            while (result := _to_the_end(make_run)) is None:
                pass
            return result
        except Exception:
            require_ours()  # a directory that is gone explains whatever was raised
            raise


def _to_the_end(make_run: Callable[[], "Run"]) -> Result | None:
    """Trains from the newest usable checkpoint; None if it was not one after all: set aside now."""
    run = make_run()
    with contextlib.closing(run), loggers(run.config, run.directory, run.progress.step) as others:
        try:
            return run.to_the_end(others)
        except divergence.Spoiled as spoiled:
            run.reporter.say(str(spoiled))
            saved.set_aside([store.step_path(run.directory, spoiled.step)])
            return None


class Run:
    """One run in progress."""

    def __init__(
        self,
        config: Config,
        start: setup.Start,
        data: Data,
        directory: Path | Any,
        require_ours: Callable[[], None],
        saved_at: Callable[[Path | Any], None],
        reporter: Reporter,
        given: tuple[Objective | None, Parameters | None] = (None, None),
    ):
        self.config, self.start = config, start
        self.training, self.evaluation = data.training, data.evaluation
        self.directory, self.require_ours, self.reporter = directory, require_ours, reporter
        self.saved_at, self.given = saved_at, given
        self.mesh = data_mesh()
        begun = self._resumed() or self._beginning()
        self.progress, self.steps, self.schedule = begun.progress, begun.steps, begun.schedule
        self.state, self.infinite = begun.state, begun.infinite
        self.window: Window = [*self.progress.window]
        best = store.best(directory)
        self.best = store.read_card(best).rank if best else None
        self.parameters = begun.parameters
        self.step = self._compile(begun)
        if hosts.is_first():
            configs.save(config, directory / "config.json")
            recorded.record(directory, data.facts)
        self.log = MetricsLog(directory, self.progress.step, writes=hosts.is_first())
        self.batches = train_batches(
            self.training,
            preprocess=start.card.preprocess,
            augment=None if config.augment == Augment() else config.augment,
            batch_size=config.batch_size,
            seed=config.seed,
            position=self.progress.examples,
            shard=hosts.shard(),
            threads=config.threads,
        )

    def close(self) -> None:
        """Writes what is left of the log, and ends the threads that read images."""
        self.log.flush()
        self.batches.close()

    def to_the_end(self, loggers: Sequence[Logger] = ()) -> Result:
        """Trains the steps that are left, then evaluates, saves and draws the curves.

        Args:
            loggers: called with every row of metrics.jsonl.
        """
        metrics: dict[str, float | int] | None = None
        clock, resumed_at = Clock(), self.progress.step
        with (
            signals.collected() as received,
            self.reporter.steps(self.progress.step, self.steps),
        ):
            while self.progress.step < self.steps:
                self._update(clock)
                if self.progress.step == resumed_at + 1 > 1:
                    self._require_sound(resumed_at)
                metrics = None
                if self._due(self.config.log_every) or self._evaluation_due():
                    row = self._row(clock)
                    metrics = self._evaluate() if self._evaluation_due() else None
                    self._record(row, metrics, loggers)
                self.reporter.advance(self.progress.step)
                stopped = 0 if self._is_over() else self._signalled(received)
                if stopped or self._due(self.config.save_every) or self._is_best(metrics):
                    self._save(metrics)
                if stopped:
                    raise signals.Interrupted(stopped, self.progress.step, self.directory)
        metrics = metrics or self._evaluate()
        if hosts.is_first():
            plot_curves(self.log.rows, self.directory / "curves.png", title=self.directory.name)
        return Result(self.state, metrics, self.log.rows, self.directory)

    def _update(self, clock: Clock) -> None:
        self.state, found = self.step(self.state, next(self.batches), self.state.key)
        self.window.append(found)
        step, examples = self.progress.step + 1, self.progress.examples + self.config.batch_size
        self.progress = self.progress._replace(step=step, examples=examples)
        clock.count(self.config.batch_size)

    def _is_over(self) -> bool:
        return self.progress.step >= self.steps

    def _due(self, every: int) -> bool:
        return self.progress.step % every == 0 or self._is_over()

    def _signalled(self, received: list[int]) -> int:
        """Number of a signal that asks to stop, or 0; several processes ask each other at times."""
        number = received[0] if received else 0
        if jax.process_count() == 1:
            return number
        return hosts.largest(number) if self._due(self.config.log_every) else 0

    def _require_sound(self, resumed_at: int) -> None:
        """Refuses a checkpoint from which no rate helps: what the first update comes from is bad.

        That is the loss, the batch statistics and the moments of gradients. It is looked at where
        a run goes on that has diverged.
        """
        if divergence.remembered(self.directory) is None:
            return
        flaws = divergence.flaws(to_stored(self.state, self.parameters), self.infinite)
        bad = [path for path in flaws if path.startswith(("batch_stats/", "train/opt_state/"))]
        if bad or not math.isfinite(self.window[-1]["loss"]):
            raise divergence.Spoiled(resumed_at)

    def _require_finite(self, loss: Any) -> None:
        """Refuses to go on, or to save, where training has diverged."""
        if not math.isfinite(loss):
            self._diverged(f"the loss became {loss}")

    def _diverged(self, how: str) -> NoReturn:
        step, directory = self.progress.step, self.directory
        if hosts.is_first():
            divergence.remember(directory, step)
        newest, rates = store.latest(directory), self.config.optimization
        go_on = f"from step {int(newest.name)}" if newest else "from the beginning"
        raise UsageError(
            f"training diverged: {how} by step {step}, and nothing of it was saved. Continue "
            f"{directory} {go_on} with `resume` and a lower `learning_rate` (now "
            f"{rates.learning_rate:g}) or `clip_norm` (now {rates.clip_norm})"
        )

    def _evaluation_due(self) -> bool:
        return self._due(self.config.eval_every or -(-self.steps // 10))

    def _row(self, clock: Clock) -> Row:
        """Means over the updates since the last row."""
        window, self.window = self.window, []
        means = {name: float(np.mean([float(m[name]) for m in window])) for name in window[0]}
        self._require_finite(means["loss"])
        step, examples = self.progress.step, self.progress.examples
        return {
            "step": step,
            "examples": examples,
            "epoch": round(examples / len(self.training), 4),
            **means,
            "learning_rate": learning_rate(self.schedule, step - 1, self.state.opt_state),
            "images_per_second": round(clock.rate(), 1),
        }

    def _evaluate(self) -> dict[str, float | int]:
        metrics = evaluate(
            self.start.model,
            published(self.state, self.parameters),
            self.evaluation,
            preprocess=self.start.card.preprocess,
            batch_size=max(self.config.batch_size, 256),
        )
        self._require_finite(metrics["loss"])
        return metrics

    def _record(
        self, row: Row, metrics: dict[str, float | int] | None, loggers: Sequence[Logger]
    ) -> None:
        if metrics:
            row = row | {f"eval_{name}": value for name, value in metrics.items()}
        self.require_ours()
        for log in (self.log.append, *loggers):
            log(row)
        self.reporter.advance(self.progress.step, row)
        if metrics:
            self.reporter.evaluated(row)

    def _is_best(self, metrics: dict[str, float | int] | None) -> bool:
        """Whether an evaluation is better than all before it."""
        rank = self._card(metrics).rank if metrics else None
        return rank is not None and (self.best is None or rank > self.best)

    def _save(self, metrics: dict[str, float | int] | None) -> None:
        card, step = self._card(metrics), self.progress.step
        self.require_ours()
        self.log.flush()  # a run goes on from here with the rows that were logged before
        state = replicate(self.state, self.mesh)  # pmap's knows only the devices of one process
        for metrics_of_one in self.window:
            self._require_finite(metrics_of_one["loss"])
        options: Any = {"infinite": self.infinite, "parameters": self.parameters}
        flaws = saved.save(self.directory, state, card, step=step, **options)
        if flaws:
            self._diverged(f"{divergence.described(flaws)} became infinite or NaN")
        self.saved_at(store.step_path(self.directory, step))
        self.best = max(filter(None, (self.best, card.rank)), default=None)
        if hosts.is_first():
            store.keep(self.directory, KEPT)
            if (divergence.remembered(self.directory) or step) < step:
                divergence.forget(self.directory)

    def _card(self, metrics: dict[str, float | int] | None) -> Any:
        measured = {**(metrics or {}), "of": f"{self.evaluation.name}:{self.evaluation.split}"}
        progress = self.progress._replace(window=tuple(self.window), devices=self.mesh.size)
        return saved.run_card(
            self.start.card,
            name=self.directory.name,
            source=saved.run_source(progress, self.config.weights),
            trained_on=f"{self.training.name}:{self.training.split}",
            metrics=measured if metrics else {},
        )

    def _beginning(self, checkpoint: Path | Any | None = None) -> Beginning:
        """A fresh run, or one that goes on from a checkpoint."""
        progress = saved.read_progress(checkpoint) if checkpoint else Progress()
        config, examples = self.config, len(self.training)
        steps = setup.total_steps(config, examples, step=progress.step, seen=progress.examples)
        epoch = -(-examples // config.batch_size)
        rule = make_optimizer(config.optimization, steps, epoch=epoch)
        optimizer = methods.optimizer_of(config.objective, rule)
        objective = self.given[0] or methods.objective_of(config.objective, self._setting(steps))
        parameters = self.given[1] or methods.parameters_of(config.parameters)
        state = create_state(
            self.start.variables,
            optimizer,
            key=setup.run_key(config),
            objective=objective,
            parameters=parameters,
            average=config.ema,
        )
        infinite = divergence.infinite(to_stored(state, parameters))
        if checkpoint:
            state = saved.restore(checkpoint, self.start.card, state, parameters)
        schedule = make_schedule(config.optimization, steps)
        state = replicate(state, self.mesh)
        made = (optimizer, objective, parameters)
        return Beginning(progress, steps, schedule, *made, state, infinite)

    def _setting(self, steps: int) -> methods.Setting:
        smoothing = self.config.optimization.label_smoothing
        smoothed = functools.partial(softmax_cross_entropy, smoothing=smoothing)
        preprocess = self.start.card.preprocess
        return methods.Setting(
            task_of(self.training), steps, smoothed if smoothing else None, preprocess
        )

    def _resumed(self) -> Beginning | None:
        """The run as its newest usable checkpoint has it; newer ones are set aside."""
        say = self.reporter.say
        begun, refused = saved.newest_usable(self.directory, self._beginning, say)
        saved.set_aside(refused)
        if (diverged := divergence.remembered(self.directory)) is not None:
            say(f"the run diverged by step {diverged}: it will again, if nothing was changed")
        if begun is None:
            return None
        if begun.progress.devices not in (None, self.mesh.size):
            say(f"devices: {begun.progress.devices} before, now {self.mesh.size}")
        say(f"resuming {self.directory} at step {begun.progress.step}")
        return begun

    def _compile(self, begun: Beginning) -> Any:
        step = make_train_step(
            self.start.model,
            begun.optimizer,
            objective=begun.objective,
            parameters=begun.parameters,
            axis_name=None if self.config.parallel == "jit" else AXIS,
            batch_norm_groups=self.config.batch_norm_groups,
        )
        return parallelize(step, self.config.parallel, mesh=self.mesh)
