"""What a run leaves behind and shows: metrics.jsonl, metrics.csv, curves.png, a progress bar."""

import csv
import errno
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from checkpoints import atomic
from zoo.errors import printable

Row = dict[str, float | int]

COLUMNS = (  # of metrics.csv, before those of a method's own
    *("step", "examples", "epoch", "loss", "top1", "learning_rate", "images_per_second"),
    *("eval_loss", "eval_top1", "eval_top5", "eval_rmse", "eval_count"),
)
FIGURES = {"top1": "top-1", "top5": "top-5", "rmse": "RMSE", "loss": "loss"}  # for a table


class MetricsLog:
    """Rows of a run, appended to metrics.jsonl as they come and to metrics.csv beside it.

    Opened for a resumed run it first drops what was logged after `step`, since that is about to
    be computed again; a kill at any moment leaves whole files. With `writes=False` it only
    remembers: another process writes. In a bucket, where nothing can be appended to an object, both
    files are written anew, every `INTERVAL` seconds at most and by `flush`.
    """

    INTERVAL = 2.0

    def __init__(self, directory: Path | Any, step: int, *, writes: bool = True) -> None:
        self.rows = [row for row in read_rows(directory) if row["step"] <= step]
        self._writes = writes
        if not writes:
            return
        self._jsonl = directory / "metrics.jsonl"
        self._csv = directory / "metrics.csv"
        self._appends = isinstance(directory, Path)
        self._written, self._time = -1, 0.0
        for path in (self._jsonl, self._csv):
            atomic.remove_leftovers(path)
        self.flush()

    def flush(self) -> None:
        """Writes the rows that are not written yet."""
        if not self._writes or self._written == len(self.rows):
            return
        self._written, self._time = len(self.rows), time.monotonic()
        atomic.write_text(self._jsonl, "".join(json.dumps(row) + "\n" for row in self.rows))
        self._write_table()

    def append(self, row: Row) -> None:
        """Writes a row to both files at once."""
        self.rows.append(row)
        if not self._writes:
            return
        if not self._appends:
            if time.monotonic() - self._time > self.INTERVAL:
                self.flush()
            return
        self._written += 1
        with self._jsonl.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if row.keys() <= set(self._columns):
            with self._csv.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        else:
            self._write_table()

    def _write_table(self) -> None:
        """Writes metrics.csv anew, with a column for every name in any row."""
        self._columns = tuple(
            dict.fromkeys([*COLUMNS, *(name for row in self.rows for name in row)])
        )
        table = io.StringIO(newline="")
        csv.DictWriter(table, self._columns).writeheader()
        csv.DictWriter(table, self._columns).writerows(self.rows)
        atomic.write_text(self._csv, table.getvalue())


def read_rows(directory: Path | Any) -> list[Row]:
    """Rows of a run's metrics.jsonl; lines that a kill or a full disk cut short are left out."""
    path = directory / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [row for line in lines if (row := _row(line)) is not None]


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def plot_curves(rows: list[Row], path: Path | Any, *, title: str) -> None:
    """Draws loss, accuracy and learning rate over steps into a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    quality = ("accuracy", {"training": "top1", "evaluation": "eval_top1"})
    if any("eval_rmse" in row for row in rows):
        quality = ("root mean squared error", {"evaluation": "eval_rmse"})
    panels = (
        ("loss", {"training": "loss", "evaluation": "eval_loss"}),
        quality,
        ("learning rate", {"": "learning_rate"}),
    )
    for axes, (name, curves) in zip(figure.subplots(1, 3), panels, strict=True):
        for label, column in curves.items():
            points = [(row["step"], row[column]) for row in rows if column in row]
            marker = "o" if label == "evaluation" else None
            axes.plot(
                *zip(*points, strict=True) if points else ((), ()), marker=marker, label=label
            )
        axes.set(xlabel="step", title=name)
        axes.grid(alpha=0.3)
        if len(curves) > 1:
            axes.legend()
    figure.suptitle(printable(title), parse_math=False)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120)
    atomic.write_bytes(path, picture.getvalue())


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
            training = {name: value for name, value in row.items() if "eval" not in name}
            self._progress.update(task, news=describe(training))

    def evaluated(self, row: Row) -> None:
        """One line for an evaluation."""
        self.say(f"step {row['step']:>6}  {describe(row)}")


def describe(row: Row) -> str:
    """The figures of a row that a person follows."""
    parts = [
        f"loss {row['loss']:.4f}",
        f"lr {row['learning_rate']:.2e}",
        f"{row['images_per_second']:,.0f} img/s",
    ]
    for name, title in (("loss", "eval loss"), ("top1", "top-1"), ("rmse", "RMSE")):
        if f"eval_{name}" in row:
            parts.append(f"{title} {row[f'eval_{name}']:.4f}")
    return "  ".join(parts)


class Clock:
    """Images per second since it was last asked."""

    def __init__(self) -> None:
        self._time, self._images = time.perf_counter(), 0

    def count(self, images: int) -> None:
        """Adds images that were trained on."""
        self._images += images

    def rate(self) -> float:
        """Images per second since the last call; NaN-free even if no time has passed."""
        now = time.perf_counter()
        rate = self._images / max(now - self._time, 1e-9)
        self._time, self._images = now, 0
        return rate if math.isfinite(rate) else 0.0


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
