"""The training loop: the one impure part, and what a run survives."""

import contextlib
import dataclasses
import functools
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import checkpoints
from checkpoints import store
from checkpoints.card import Card, current_versions
from train import config as configs
from train import hosts, setup
from train.augment import Augment
from train.config import Config
from train.data import Dataset, train_batches
from train.loggers import Logger, loggers, require_libraries
from train.losses import example_loss
from train.metrics import evaluate
from train.optimizer import learning_rate, make_optimizer, make_schedule
from train.parallel import AXIS, data_mesh, parallelize, replicate
from train.report import Clock, MetricsLog, Reporter, Row, plot_curves
from train.rundir import run_directory
from train.state import TrainState, create_state
from train.step import make_train_step
from zoo.errors import UsageError

KEPT = 2  # checkpoints of a run that stay on disk: the newest and one to fall back on


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
    directory: Path


class Interrupted(Exception):  # noqa: N818 (not an error: everything is saved)
    """A run that was asked to stop by SIGINT or SIGTERM, and has saved its state."""

    def __init__(self, signal_number: int, step: int, directory: Path):
        name = signal.Signals(signal_number).name
        super().__init__(f"{name}: saved step {step} in {directory}; continue it with --resume")
        self.signal_number = signal_number


class Progress(NamedTuple):
    """How far a run is: updates made and training images seen."""

    step: int
    examples: int


def fit(config: Config, reporter: Reporter | None = None) -> Result:
    """Trains a model as `config` says and leaves everything in the run directory.

    The directory holds config.json, metrics.jsonl, metrics.csv, curves.png and the newest
    checkpoints under steps/. A run that was killed at any moment and is started again with
    `resume=True` ends in the same bits as one that was not.

    Raises:
        UsageError: the config cannot be run as it stands, or the loss became NaN.
        Interrupted: the run was asked to stop; it has saved its state.
    """
    reporter = reporter or Reporter()
    require_libraries(config)
    training, evaluation = setup.load_data(config)
    if training.skipped or evaluation.skipped:
        reporter.say(f"broken images left out: {training.skipped + evaluation.skipped}")
    start = setup.load_model(config, training)
    directory = Path(hosts.agreed(lambda: str(run_directory(config, reporter.say))))
    run = Run(config, start, training, evaluation, directory, reporter)
    with contextlib.closing(run), loggers(config, directory, run.progress.step) as others:
        return run.to_the_end(others)


class Run:
    """One run in progress."""

    def __init__(
        self,
        config: Config,
        start: setup.Start,
        training: Dataset,
        evaluation: Dataset,
        directory: Path,
        reporter: Reporter,
    ):
        self.config, self.start = config, start
        self.training, self.evaluation = training, evaluation
        self.directory, self.reporter = directory, reporter
        self.mesh = data_mesh()
        saved = store.latest(directory)
        self.progress = (
            Progress(0, 0) if saved is None else _progress(saved, self.mesh.size, reporter)
        )
        self.steps = setup.total_steps(
            config, len(training), step=self.progress.step, seen=self.progress.examples
        )
        self.schedule = make_schedule(config.optimization, self.steps)
        epoch = -(-len(training) // config.batch_size)
        optimizer = make_optimizer(config.optimization, self.steps, epoch=epoch)
        self.state = self._restore(optimizer, saved)
        self.step = self._compile(optimizer)
        if hosts.is_first():
            configs.save(config, directory / "config.json")
        self.log = MetricsLog(directory, self.progress.step, writes=hosts.is_first())
        self.batches = train_batches(
            training,
            preprocess=start.card.preprocess,
            augment=None if config.augment == Augment() else config.augment,
            batch_size=config.batch_size,
            seed=config.seed,
            position=self.progress.examples,
            shard=hosts.shard(),
            threads=config.threads,
        )

    def close(self) -> None:
        """Ends the threads that read images."""
        self.batches.close()

    def to_the_end(self, loggers: Sequence[Logger] = ()) -> Result:
        """Trains the steps that are left, then evaluates, saves and draws the curves.

        Args:
            loggers: called with every row of metrics.jsonl.
        """
        metrics: dict[str, float | int] | None = None
        clock, window = Clock(), []
        with _signals() as received, self.reporter.steps(self.progress.step, self.steps):
            while self.progress.step < self.steps:
                self.state, found = self.step(self.state, next(self.batches), self.state.key)
                step, examples = self.progress
                self.progress = Progress(step + 1, examples + self.config.batch_size)
                window.append(found)
                clock.count(self.config.batch_size)
                metrics = None
                if self._due(self.config.log_every) or self._evaluation_due():
                    row = self._row(window, clock)
                    metrics = self._evaluate() if self._evaluation_due() else None
                    self._record(row, metrics, loggers)
                    window = []
                self.reporter.advance(self.progress.step)
                if self._due(self.config.save_every):
                    self._require_finite(found["loss"])
                    self._save(metrics)
                if (signal_number := self._signalled(received)) and not self._is_over():
                    self._require_finite(found["loss"])
                    self._save(None)
                    raise Interrupted(signal_number, self.progress.step, self.directory)
        metrics = metrics or self._evaluate()
        if hosts.is_first():
            plot_curves(self.log.rows, self.directory / "curves.png", title=self.directory.name)
        return Result(self.state, metrics, self.log.rows, self.directory)

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

    def _require_finite(self, loss: Any) -> None:
        """Refuses to go on, or to save, where training has diverged."""
        if not math.isfinite(loss):
            raise UsageError(
                f"the loss became {loss} before step {self.progress.step}; lower "
                f"`learning_rate` ({self.config.optimization.learning_rate}) or `clip_norm`. "
                f"Checkpoints up to then are in {self.directory}"
            )

    def _evaluation_due(self) -> bool:
        return self._due(self.config.eval_every or -(-self.steps // 10))

    def _row(self, window: list[dict[str, Any]], clock: Clock) -> Row:
        means = {name: float(np.mean([m[name] for m in window])) for name in window[0]}
        self._require_finite(means["loss"])
        step, examples = self.progress
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
            self.state.variables,
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
        for log in (self.log.append, *loggers):
            log(row)
        self.reporter.advance(self.progress.step, row)
        if metrics:
            self.reporter.evaluated(row)

    def _save(self, metrics: dict[str, float | int] | None) -> None:
        path = store.step_path(self.directory, self.progress.step)
        state = replicate(self.state, self.mesh)  # pmap's knows only the devices of one process
        checkpoints.save(path, state_tree(state), run_card(self, metrics))
        if hosts.is_first():
            store.keep(self.directory, KEPT)

    def _restore(self, optimizer: optax.GradientTransformation, saved: Path | None) -> TrainState:
        """The state to go on from, on every device."""
        state = create_state(
            self.start.model,
            self.start.variables,
            optimizer,
            key=setup.run_key(self.config),
            ema=self.config.ema is not None,
        )
        if saved is not None:
            _check_same_network(saved, self.start.card)
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state_tree(state)
            )
            state = from_tree(state, store.restore(saved, abstract))
        return replicate(state, self.mesh)

    def _compile(self, optimizer: optax.GradientTransformation) -> Any:
        smoothing = self.config.optimization.label_smoothing
        step = make_train_step(
            self.start.model,
            optimizer,
            functools.partial(example_loss, smoothing=smoothing),
            axis_name=None if self.config.parallel == "jit" else AXIS,
            batch_norm_groups=self.config.batch_norm_groups,
            ema=self.config.ema,
        )
        return parallelize(step, self.config.parallel, mesh=self.mesh)


def state_tree(state: TrainState) -> dict[str, Any]:
    """A state as it is stored: what `checkpoints.load` reads, and beside it what a run needs."""
    raw = None if state.ema is None else state.params
    rest = {"step": state.step, "opt_state": state.opt_state, "key": state.key, "raw_params": raw}
    return {**state.variables, "train": {k: v for k, v in rest.items() if v is not None}}


def from_tree(state: TrainState, tree: dict[str, Any]) -> TrainState:
    """The inverse of `state_tree`; `state` tells whether averages are kept."""
    rest = tree["train"]
    averaged = state.ema is not None
    return TrainState(
        step=rest["step"],
        params=rest["raw_params"] if averaged else tree["params"],
        batch_stats=tree.get("batch_stats", {}),
        opt_state=rest["opt_state"],
        ema=tree["params"] if averaged else None,
        key=rest["key"],
    )


def run_card(run: Run, metrics: dict[str, float | int] | None) -> Card:
    """The card of a checkpoint of this run."""
    measured = {**(metrics or {}), "of": f"{run.evaluation.name}:{run.evaluation.split}"}
    return dataclasses.replace(
        run.start.card,
        name=run.directory.name,
        source={
            "kind": "run",
            "started_from": run.config.weights,
            "examples": run.progress.examples,
            "devices": run.mesh.size,
        },
        trained_on=f"{run.training.name}:{run.training.split}",
        metrics=measured if metrics else {},
        fingerprint=None,
        versions=current_versions(),
    )


def _progress(saved: Path, devices: int, reporter: Reporter) -> Progress:
    source = store.read_card(saved).source or {}
    if source.get("devices", devices) != devices:
        reporter.say(f"devices: {source['devices']} before, now {devices}")
    reporter.say(f"resuming {saved.parent.parent} at step {int(saved.name)}")
    return Progress(int(saved.name), source["examples"])


def _check_same_network(saved: Path, card: Card) -> None:
    """What is in a file that the config names may have changed since."""
    there, here = store.read_card(saved).overrides, card.overrides
    if changed := [n for n in there | here if there.get(n) != here.get(n)]:
        raise UsageError(
            f"{saved.parent.parent} holds a network with another `{changed[0]}`; restore what it "
            "was, or choose another `out`"
        )


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM in a list; a second one has its usual effect at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        if number in received:
            signal.signal(number, previous[signal.Signals(number)])
            signal.raise_signal(number)
        received.append(number)

    for number in previous:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
