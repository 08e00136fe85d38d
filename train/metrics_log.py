"""Rows of figures that a run writes: metrics.jsonl and metrics.csv."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

from checkpoints import atomic

Row = dict[str, float | int]

COLUMNS = (  # of metrics.csv, before those of a method's own
    *("step", "examples", "epoch", "loss", "top1", "learning_rate", "images_per_second"),
    "input_share",
    *("eval_loss", "eval_top1", "eval_top5", "eval_rmse", "eval_count"),
)


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
