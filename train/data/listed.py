"""Folders of images with a table of their labels, labels.csv.

    birds/labels.csv      file,labels           any classes of each, between semicolons
    birds/a/1.jpg         a/1.jpg,heron;adult

The name of the second column says what is told of an image: `label` is one class, `labels` any
number of them, `target` a number to be predicted. Files are named from the table's folder. There is
one table, whose files are cut by a hash of their names into "test", a fifth, and "train", with
"all" for both; or one in a folder for each split, train/labels.csv and test/labels.csv. Images that
no table lists are left out.
"""

import csv
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from train.data import folder
from train.data.dataset import Example, Source
from train.data.digest import digest
from train.data.slices import SPLITS, pieces
from zoo.errors import UsageError

NAME = "labels.csv"
FILES = ("file", "file_name", "filename", "image")  # what the first column may be called
COLUMNS = {"label": "classes", "labels": "multilabel", "target": "numbers"}  # and the second
SEPARATOR = ";"
SAMPLED = 64  # files that are read for a digest

Row = tuple[pathlib.Path, str]


class Table(NamedTuple):
    """A labels.csv: which task it is for, and a label in words for each file."""

    task: str
    rows: list[Row]


class ListedImages(Source):
    """Image files with labels from a table."""

    def __init__(
        self, files: Sequence[tuple[pathlib.Path, Any]], tables: Sequence[Any], **facts: Any
    ):
        super().__init__(**facts)
        self._files = tuple(files)
        self._tables = tuple(tables)

    def __len__(self) -> int:
        return len(self._files)

    def label(self, index: int) -> Any:
        return self._files[index][1]

    def encoded(self, index: int) -> pathlib.Path:
        """The file of one example's picture."""
        return self._files[index][0]

    def read(self, index: int) -> Example:
        path, label = self._files[index]
        return {"input": folder.read_image(path), "label": label}

    def contents(self) -> dict[str, str]:
        """Of the tables, and of the first images."""
        some = sorted(path for path, _ in self._files)[:SAMPLED]
        tables = {f"{p.parent.name}/{p.name}": digest([p]) for p in self._tables}
        return {**tables, "the first images": digest(some)}


def homes(root: pathlib.Path) -> list[pathlib.Path]:
    """Folders with a table: those of the splits, else the root's own; none if there is no table."""
    of_splits = [root / split for split in SPLITS if (root / split / NAME).is_file()]
    own = [root] if (root / NAME).is_file() else []
    if of_splits and own:
        raise UsageError(f"'{root}' has a {NAME} and {of_splits[0].name}/{NAME}; keep one of them")
    return of_splits or own


def splits(root: pathlib.Path) -> tuple[str, ...]:
    """Names of the splits."""
    found = [home.name for home in homes(root) if home != root]
    return tuple(found) or ("train", "test", "all")


def load(root: pathlib.Path, split: str, *, skip_broken: bool = False) -> ListedImages:
    """Opens a split, or a slice of one, after decoding each of its files once to check it.

    Raises:
        UsageError: a table cannot be read, there is no such split, or a file is missing or broken
            and `skip_broken` is not set.
    """
    tables = {home: table(home) for home in homes(root)}
    if len({found.task for found in tables.values()}) > 1:
        raise UsageError(f"each {NAME} in '{root}' must have the same columns")
    task = next(iter(tables.values())).task
    rows = [row for found in tables.values() for row in found.rows]
    names = class_names(task, rows, root)
    parts = {home.name: found.rows for home, found in tables.items() if home != root}
    parts = parts or cut(tables[root].rows)
    wanted = pieces(split, [*parts], lambda name: len(parts[name]), f"folder '{root}'")
    chosen = [row for name, part in wanted for row in parts[name][part]]
    files, decoded, broken = folder.checked(chosen, root, split, skip_broken)
    read = READERS[task](names)
    return ListedImages(
        [(path, read(words, path)) for path, words in files],
        [home / NAME for home in tables],
        name=str(root),
        split=split,
        class_names=names,
        skipped=broken,
        decoded_bytes=decoded,
        task=task,
        left_out=folder.described({"broken images": broken}),
    )


def table(home: pathlib.Path) -> Table:
    """Reads the table in a folder; its rows come in the order of a hash of the files' names.

    Raises:
        UsageError: its columns are others, it is empty, or a file is missing or listed twice.
    """
    path = home / NAME
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            header, *lines = [line for line in csv.reader(text) if line] or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"'{path}' must be a table in UTF-8: {error}") from error
    header = [word.strip().lower() for word in header]
    if len(header) != 2 or header[0] not in FILES or header[1] not in COLUMNS:
        raise UsageError(
            f"'{path}' must begin with a line of two columns, file and one of {', '.join(COLUMNS)},"
            f" as in 'file,labels'; got {','.join(header)!r}"
        )
    if wrong := next((line for line in lines if len(line) != 2), None):
        raise UsageError(f"'{path}' must have two columns, got {','.join(wrong)!r}")
    named = sorted((name.strip(), words.strip()) for name, words in lines)
    rows = [(home / name, words) for name, words in sorted(named, key=lambda r: folder.place(r[0]))]
    _require_files(path, [file for file, _ in rows])
    return Table(COLUMNS[header[1]], rows)


def _require_files(table: pathlib.Path, files: Sequence[pathlib.Path]) -> None:
    if not files:
        raise UsageError(f"'{table}' lists no files")
    if len(set(files)) < len(files):
        twice = next(file for n, file in enumerate(files) if file in files[:n])
        raise UsageError(f"'{table}' lists {twice.name} twice; several labels go into one line")
    if missing := [file for file in files if not file.is_file()]:
        raise UsageError(
            f"'{table}' lists '{missing[0]}' {folder.more(len(missing) - 1)}which is not there; "
            "files are named from the table's folder"
        )


def cut(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows, given in the order of their hashes, as test (a fifth), train and all."""
    count = round(len(rows) * folder.TEST_SHARE)
    return {"train": list(rows[count:]), "test": list(rows[:count]), "all": list(rows)}


def class_names(task: str, rows: Sequence[Row], root: pathlib.Path) -> tuple[str, ...]:
    """All classes of the tables, sorted; ("value",) where labels are numbers."""
    if task == "numbers":
        return ("value",)
    found = sorted({name for _, words in rows for name in several(words)})
    if task == "classes" and (wrong := [words for _, words in rows if len(several(words)) != 1]):
        raise UsageError(
            f"a {NAME} in '{root}' says {wrong[0]!r} where one class is wanted; call the column "
            "`labels` if files have any number of them"
        )
    if len(found) < (2 if task == "classes" else 1):
        raise UsageError(f"each {NAME} in '{root}' must name classes, got {', '.join(found) or 0}")
    return tuple(found)


def several(words: str) -> list[str]:
    """The classes that a cell names."""
    return [name for part in words.split(SEPARATOR) if (name := part.strip())]


def _class(names: Sequence[str]) -> Callable[[str, pathlib.Path], Any]:
    return lambda words, path: names.index(several(words)[0])


def _classes(names: Sequence[str]) -> Callable[[str, pathlib.Path], Any]:
    return lambda words, path: np.isin(names, several(words)).astype(np.float32)


def _number(names: Sequence[str]) -> Callable[[str, pathlib.Path], Any]:
    del names

    def read(words: str, path: pathlib.Path) -> float:
        try:
            return float(words)
        except ValueError as error:
            raise UsageError(f"the target of '{path}' must be a number, got {words!r}") from error

    return read


READERS = {"classes": _class, "multilabel": _classes, "numbers": _number}
