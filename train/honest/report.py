"""What `zoo evaluate --report` writes: figures with intervals, plots, and every answer."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from checkpoints import paths
from checkpoints.pretrained import Pretrained
from train.data.dataset import Dataset, task_name
from train.evaluation import measured
from train.honest import plots
from train.honest.figures import (
    Answers,
    Interval,
    area_under_roc,
    bootstrap,
    calibration,
    of_classes,
    per_class,
    real_accuracy,
    variable_top_k,
)
from train.losses import softmax_cross_entropy
from train.task import Task
from zoo.errors import UsageError

MOST_COLUMNS = 100  # classes whose probabilities stand in the table of answers; else the five first
FIRST = 5
GATHER = Task(
    softmax_cross_entropy,
    lambda outputs, labels: {"logits": outputs, "labels": labels},
    lambda sums, count: {},
    gathered=("logits", "labels"),
)


class Report(NamedTuple):
    """All figures of an evaluation.

    Attributes:
        answers: what was answered.
        names: of the classes.
        figures: with intervals; those of a single number where none were asked for.
        slices: the same of parts of the data, by "attribute=value".
        extra: of sets of labels.
    """

    answers: Answers
    names: tuple[str, ...]
    figures: Mapping[str, Interval]
    slices: Mapping[str, Mapping[str, Interval]]
    extra: Mapping[str, float]


def answered(
    loaded: Pretrained, data: Dataset, *, batch_size: int = 256, only_its_classes: bool = False
) -> Answers:
    """What a network answers on a data set, each example once and in order.

    Args:
        loaded: the network.
        data: of classes, labelled with the network's.
        batch_size: examples at a time.
        only_its_classes: an answer may only be a class that the data set has, as for ImageNet-A and
            ImageNet-R.

    Raises:
        UsageError: the data set is none of classes.
    """
    if task_name(data) != "classes":
        raise UsageError(f"`report` is for classes, and {data.name} holds other labels")
    options = {"preprocess": loaded.preprocess, "batch_size": batch_size}
    found, _ = measured(loaded.model, loaded.variables, data, GATHER, **options)
    numbers = getattr(data, "numbers", None)
    classes = np.unique(numbers) if only_its_classes and numbers else None
    return Answers(found["logits"], found["labels"].astype(int), classes)


def made(
    answers: Answers,
    names: Sequence[str],
    *,
    repeats: int = 0,
    attributes: Mapping[str, Sequence[str]] | None = None,
    sets: Sequence[Sequence[int]] | None = None,
) -> Report:
    """Figures of answers, with bootstrap intervals, of the whole and of slices.

    Args:
        answers: of all examples.
        names: of the classes.
        repeats: of the bootstrap; 0 for none.
        attributes: for each, its value for every example; see `read_attributes`.
        sets: all right classes of every example, as in ImageNet's ReaL.
    """

    def figures(some: Answers) -> dict[str, float]:
        return of_classes(some) | {"auc": area_under_roc(some)}

    def with_intervals(some: Answers) -> dict[str, Interval]:
        if repeats:
            return bootstrap(figures, some, repeats)
        return {name: Interval(v, np.nan, np.nan) for name, v in figures(some).items()}

    slices = {}
    for attribute, values in (attributes or {}).items():
        for value in sorted(set(values)):
            rows = np.flatnonzero(np.asarray(values) == value)
            count = {"count": Interval(len(rows), len(rows), len(rows))}
            slices[f"{attribute}={value}"] = count | with_intervals(answers.take(rows))
    extra: dict[str, float] = {}
    if sets is not None:
        extra = {"real": real_accuracy(answers.masked.argmax(axis=1), sets)}
        extra |= variable_top_k(answers.masked, sets)
    return Report(answers, tuple(names), with_intervals(answers), slices, extra)


def as_json(report: Report) -> dict[str, Any]:
    """The figures as JSON: {"value", "low", "high"} each, None where there is no interval."""
    classes = _per_class(report)
    found: dict[str, Any] = {"count": len(report.answers.labels), **_figures(report.figures)}
    found["classes"] = {row["class"]: {k: row[k] for k in COLUMNS} for row in classes}
    if report.slices:
        found["slices"] = {name: _figures(figures) for name, figures in report.slices.items()}
    return found | dict(report.extra)


def rows(report: Report) -> list[list[str]]:
    """Figures and intervals as the rows of a table, the slices below the whole."""
    found = [["examples", f"{len(report.answers.labels):,}", ""]]
    found += [[name.replace("_", " "), *_cells(value)] for name, value in report.figures.items()]
    found += [[name.replace("_", " "), f"{x:.4f}", ""] for name, x in report.extra.items()]
    for name, figures in report.slices.items():
        count = f"{figures['count'].value:,.0f} examples"
        found += [[f"{name}: accuracy", *_cells(figures["accuracy"])], ["", count, ""]]
    return found


def _cells(interval: Interval) -> list[str]:
    wide = "" if np.isnan(interval.low) else f"{interval.low:.4f} to {interval.high:.4f}"
    return [f"{interval.value:.4f}", wide]


COLUMNS = "recall", "precision", "f1", "count"


def save(report: Report, directory: Path) -> list[Path]:
    """Writes report.json, classes.csv, answers.csv, answers.parquet and the plots.

    Returns:
        The files.

    Raises:
        UsageError: the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(as_json(report), indent=2)
        (directory / "report.json").write_text(text + "\n", encoding="utf-8")
        _write_csv(directory / "classes.csv", _per_class(report))
        rows = list(_answers(report))
        _write_csv(directory / "answers.csv", rows)
        _write_parquet(directory / "answers.parquet", rows)
    except OSError as error:
        raise UsageError(
            f"could not write to {str(directory)!r}: {error.strerror or error}"
        ) from error
    p, labels = report.answers.probabilities, report.answers.labels
    given = p.argmax(axis=1)
    bins = calibration(p.max(axis=1), given == labels)
    plots.reliability(
        directory / "reliability.png",
        bins.confidence.tolist(),
        bins.accuracy.tolist(),
        bins.share.tolist(),
    )
    matrix = np.zeros((len(report.names), p.shape[1]))
    np.add.at(matrix, (labels, given), 1)
    plots.confusion(directory / "confusion.png", matrix, report.names)
    names = ("report.json", "classes.csv", "answers.csv", "answers.parquet")
    return [directory / name for name in (*names, "reliability.png", "confusion.png")]


def read_attributes(path: str, count: int) -> dict[str, list[str]]:
    """Columns of a CSV file with a row for every example, in the order of the data set.

    Args:
        path: of the file; its first row names the attributes.
        count: of the examples.

    Raises:
        UsageError: the file cannot be read, or has another number of rows.
    """
    with _opened("slices", path) as file:
        rows = list(csv.DictReader(file))
    if len(rows) != count:
        raise UsageError(
            f"`slices` {path} must have a row for each of {count:,} examples below its first, got "
            f"{len(rows):,}"
        )
    names = [name for name in rows[0] if name is not None]
    return {name: [row[name] or "" for row in rows] for name in names}


def read_sets(path: str, count: int) -> list[list[int]]:
    """Sets of right classes from a JSON file: a list with a list for every example, as ReaL's.

    Args:
        path: of the file.
        count: of the examples.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    with _opened("labels", path) as file:
        try:
            sets = json.load(file)
        except ValueError as error:
            raise UsageError(f"`labels` {path} must hold JSON, and does not: {error}") from error
    fits = isinstance(sets, list) and all(
        isinstance(s, list) and all(isinstance(k, int) for k in s) for s in sets
    )
    if not fits or len(sets) != count:
        raise UsageError(
            f"`labels` {path} must hold a list of {count:,} lists of class numbers, one for each "
            "example"
        )
    return sets


def _opened(option: str, path: str) -> Any:
    try:
        return paths.local(path).open(encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(
            f"`{option}` must be a readable file, got {path}: {error.strerror}"
        ) from error


def _figures(figures: Mapping[str, Interval]) -> dict[str, Any]:
    plain = lambda x: None if np.isnan(x) else float(x)  # noqa: E731
    return {
        name: {key: plain(x) for key, x in interval._asdict().items()}
        for name, interval in figures.items()
    }


def _per_class(report: Report) -> list[dict[str, Any]]:
    given = report.answers.masked.argmax(axis=1)
    found = per_class(given, report.answers.labels, len(report.names))
    number = lambda x: None if np.isnan(x) else float(x)  # noqa: E731
    return [
        {"class": name, **{k: number(found[k][i]) for k in COLUMNS}}
        for i, name in enumerate(report.names)
    ]


def _answers(report: Report) -> Iterator[dict[str, Any]]:
    """A row for each example: what is right, what was answered, and how likely it seemed."""
    p, names = report.answers.probabilities, report.names
    for i, (row, label) in enumerate(zip(p, report.answers.labels, strict=True)):
        order = np.argsort(-row, kind="stable")
        best = int(order[0])
        found = {"example": i, "label": names[label], "answer": names[best]}
        found |= {"right": bool(best == label), "confidence": float(row[best])}
        if len(names) <= MOST_COLUMNS:
            found |= {f"p({name})": float(x) for name, x in zip(names, row, strict=True)}
        else:
            for place, k in enumerate(order[:FIRST].tolist(), start=1):
                found |= {f"answer{place}": names[k], f"p{place}": float(row[k])}
        yield found


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow  # what tensorflow-datasets needs too; slow to import
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
