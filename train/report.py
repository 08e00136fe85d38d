"""What a run and commands say on a console: news, a progress bar, tables."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from train.metrics_log import Row
from zoo.errors import printable

FIGURES = {"top1": "top-1", "top5": "top-5", "map": "mAP", "rmse": "RMSE", "mae": "MAE"}
FIGURES |= {"r2": "R²", "loss": "loss"}  # for a table
FOLLOWED = {"loss": "eval loss"} | {n: FIGURES[n] for n in ("top1", "map", "rmse")}  # for a line


class Reporter:
    """Says on a console what a run does; with `console=None` it says nothing.

    Args:
        console: where.
        spelled: writes news that name arguments between backticks as their reader knows these.
    """

    def __init__(self, console: Console | None = None, spelled: Callable[[str], str] = str) -> None:
        self.console, self._spelled = console, spelled
        self._progress: Progress | None = None

    def say(self, text: str) -> None:
        """One line of news."""
        if self.console:
            with self._until_the_terminal_closes():
                text = printable(self._spelled(text))
                self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def _until_the_terminal_closes(self) -> Iterator[None]:
        """Falls silent for good once the terminal is gone, which is no reason to lose a run."""
        try:
            yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.console = self._progress = None

    @contextmanager
    def steps(self, start: int, total: int) -> Iterator[None]:
        """A progress bar from step `start` to `total`; plain lines where there is no terminal."""
        if self.console is None or not self.console.is_terminal:
            yield
            return
        columns = (
            *(BarColumn(bar_width=16), MofNCompleteColumn(), TimeRemainingColumn()),
            TextColumn("{task.fields[news]}"),
        )
        self._progress = Progress(*columns, console=self.console)
        self._progress.add_task("", total=total, completed=start, news="compiling ...")
        self._progress.start()
        try:
            yield
        finally:
            if self._progress is not None:
                with self._until_the_terminal_closes():
                    self._progress.stop()
            self._progress = None

    def advance(self, step: int, row: Row | None = None) -> None:
        """Moves the bar; a row's figures are shown beside it."""
        if self._progress is None:
            return
        task = self._progress.task_ids[0]
        self._progress.update(task, completed=step)
        if row:
            measured = lambda name: name.startswith("eval_") or "/" in name  # noqa: E731
            training = {name: value for name, value in row.items() if not measured(name)}
            self._progress.update(task, news=describe(training) + _waiting(row))

    def evaluated(self, row: Row) -> None:
        """One line for an evaluation."""
        self.say(f"step {row['step']:>6}  {describe(row)}")


NOTABLE = 0.1  # share of time; below it more `threads` would gain little


def _waiting(row: Row) -> str:
    share = row.get("input_share", 0.0)
    return f"  waits for input {share:.0%}" if share > NOTABLE else ""


def describe(row: Row) -> str:
    """The figures of a row that a person follows."""
    parts = [
        f"loss {row['loss']:.4f}",
        f"lr {row['learning_rate']:.2e}",
        f"{row['images_per_second']:,.0f} img/s",
    ]
    if "mfu" in row:
        parts.append(f"MFU {row['mfu']:.1%}")
    for name, title in FOLLOWED.items():
        if f"eval_{name}" in row:
            parts.append(f"{title} {row[f'eval_{name}']:.4f}")
    named = dict.fromkeys(name.rpartition("/")[0] for name in row if "/" in name)
    for name in named:
        shown = next(n for n in (*FIGURES, "count") if f"{name}/{n}" in row)
        parts.append(f"{name} {FIGURES.get(shown, shown)} {row[f'{name}/{shown}']:.4f}")
    return "  ".join(parts)


class Clock:
    """Images per second, and the share of time without any, since it was last asked."""

    def __init__(self) -> None:
        self._time, self._images, self._waited = time.perf_counter(), 0, 0.0

    def count(self, images: int) -> None:
        """Adds images that were trained on."""
        self._images += images

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time in which the devices get nothing to do, since there are no images yet."""
        begun = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begun

    def figures(self) -> dict[str, float]:
        """Images per second and share of waiting since the last call; finite in any case."""
        now = time.perf_counter()
        passed = max(now - self._time, 1e-9)
        rate, share = self._images / passed, min(self._waited / passed, 1.0)
        self._time, self._images, self._waited = now, 0, 0.0
        return {"images_per_second": round(rate, 1), "input_share": round(share, 3)}


def figures(metrics: dict[str, float | int]) -> dict[str, str]:
    """An evaluation as the cells of a table, under their titles."""
    found = {title: f"{metrics[name]:.4f}" for name, title in FIGURES.items() if name in metrics}
    return found | {"examples": f"{metrics['count']:,}"}


def table(columns: list[str], rows: list[list[Any]], *, numbers: bool = True) -> Table:
    """A table for a terminal; columns after the first hold numbers and stand to the right."""
    drawn = Table(
        box=box.SIMPLE_HEAD, show_header=any(columns), collapse_padding=True, pad_edge=False
    )
    for i, column in enumerate(columns):
        drawn.add_column(column, justify="right" if i and numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*[printable(str(cell)) for cell in row])
    return drawn


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    """Prints a table; in a narrow terminal without the last columns, which it then names."""
    terminal, shown = console(), len(columns)
    while shown > 2 and _width(terminal, columns[:shown], rows) > terminal.width:
        shown -= 1
    drawn = table(columns[:shown], [row[:shown] for row in rows])
    if shown < len(columns):
        drawn.caption = f"too narrow for: {', '.join(columns[shown:])}"
    terminal.print(drawn)


def _width(terminal: Console, columns: list[str], rows: list[list[Any]]) -> int:
    """Columns of the terminal that a table wants."""
    limitless = terminal.options.update(max_width=10_000)
    return terminal.measure(
        table(columns, [row[: len(columns)] for row in rows]), options=limitless
    ).maximum


def console(*, stderr: bool = False) -> Console:
    """The terminal; where output goes into a file or a pipe, lines of 160 columns."""
    options: Any = {"stderr": stderr, "markup": False, "emoji": False, "highlight": False}
    terminal = Console(**options)
    return terminal if terminal.is_terminal else Console(**options, width=160)
