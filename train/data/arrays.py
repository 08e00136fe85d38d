"""Folders of arrays: series of numbers, or anything else that is no picture, and their targets.

    speech/train/inputs.npy        float (examples, length, channels), or (examples, columns)
    speech/train/targets.npy       integers: classes; floats: numbers to be predicted
    speech/train/labels.npy        or instead (examples, classes): 1 for each that it has, 0 else
    speech/test/inputs.npy ...
    speech/classes.txt             if wanted: the names of the classes, one a line

Files are read as they are needed, so that they may be larger than memory. The rows of a table of
two axes are series of one step with a channel for each column.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from train.data.dataset import Example, Source
from train.data.digest import digest
from train.data.slices import SPLITS, pieces
from zoo.errors import UsageError

INPUTS, TARGETS, CLASSES = "inputs.npy", "targets.npy", "classes.txt"
LABELS = "labels.npy"  # in the place of targets: any number of classes each


class Arrays(NamedTuple):
    """Examples that lie in one pair of files."""

    folder: pathlib.Path
    inputs: np.ndarray
    targets: np.ndarray


class ArraySplit(Source):
    """One split of a folder of arrays, a slice of it, or several on end."""

    def __init__(
        self, name: str, split: str, class_names: tuple[str, ...], pieces: Sequence[Arrays]
    ):
        tasks = {task_of(piece.targets) for piece in pieces}
        task = tasks.pop() if len(tasks) == 1 else "numbers"
        super().__init__(name=name, split=split, class_names=class_names, task=task)
        self._pieces = tuple(pieces)
        self._ends = np.cumsum([len(piece.targets) for piece in pieces])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def label(self, index: int) -> Any:
        piece, i = self._place(index)
        target = piece.targets[i]
        return np.array(target, np.float32) if target.ndim else target.item()

    def read(self, index: int) -> Example:
        piece, i = self._place(index)
        values = np.asarray(piece.inputs[i], np.float32)
        return {"input": np.atleast_2d(values), "label": self.label(index)}

    def contents(self) -> dict[str, str]:
        files = {p.folder / name for p in self._pieces for name in (INPUTS, answers(p.folder))}
        return {f"{path.parent.name}/{path.name}": digest([path]) for path in sorted(files)}

    def _place(self, index: int) -> tuple[Arrays, int]:
        """The arrays with an example, and its row there."""
        number = int(np.searchsorted(self._ends, index, side="right"))
        piece = self._pieces[number]
        return piece, index - int(self._ends[number]) + len(piece.targets)


def parts(root: pathlib.Path) -> list[str]:
    """Splits of a folder that hold arrays; none if it is a folder of something else."""
    return [split for split in SPLITS if (root / split / INPUTS).is_file()]


def load(root: pathlib.Path, split: str) -> ArraySplit:
    """Opens a split, a slice of one such as `train[:10%]`, or several, `train+validation`.

    Raises:
        UsageError: there is no such split, or its arrays do not fit together.
    """

    def length(name: str) -> int:
        return len(_arrays(root / name).targets)

    found = pieces(split, parts(root), length, f"folder '{root}'")
    there = {name: _arrays(root / name) for name, _ in found}
    if len({arrays.inputs.shape[-1] for arrays in there.values()}) > 1:
        channels = {name: arrays.inputs.shape[-1] for name, arrays in there.items()}
        raise UsageError(f"splits of '{root}' must have as many channels, got {channels}")
    cut = [
        Arrays(folder, inputs[part], targets[part])
        for (folder, inputs, targets), part in ((there[name], part) for name, part in found)
    ]
    return ArraySplit(str(root), split, class_names(root), cut)


def _arrays(folder: pathlib.Path) -> Arrays:
    inputs, targets = read(folder / INPUTS), read(folder / answers(folder))
    if answers(folder) == LABELS:
        return Arrays(folder, inputs, _multi_hot(folder, targets, len(inputs)))
    if targets.ndim == 2 and inputs.shape[:1] == targets.shape[:1]:
        raise UsageError(
            f"'{folder / TARGETS}' has {targets.shape[1]} targets for each example, and one "
            "class, or one number, is wanted: multi-hot labels are not supported there, but in "
            f"{LABELS} in its place"
        )
    if inputs.ndim not in (2, 3) or targets.shape != inputs.shape[:1]:
        raise UsageError(
            f"'{folder}' must hold inputs of shape (examples, length, channels) or (examples, "
            f"columns) and one target each, got {inputs.shape} and {targets.shape}"
        )
    return Arrays(folder, inputs, targets)


def _multi_hot(folder: pathlib.Path, labels: np.ndarray, examples: int) -> np.ndarray:
    if labels.ndim == 2 and len(labels) == examples:
        return labels
    raise UsageError(
        f"'{folder / LABELS}' must have the shape (examples, classes), for {examples} examples, "
        f"got {labels.shape}"
    )


def answers(folder: pathlib.Path) -> str:
    """Name of the file with what is to be told of the examples of a split."""
    has_labels = (folder / LABELS).is_file()
    if has_labels and (folder / TARGETS).is_file():
        raise UsageError(f"'{folder}' has {TARGETS} and {LABELS}; take one of them away")
    return LABELS if has_labels else TARGETS


def task_of(targets: np.ndarray) -> str:
    """What targets are, a name in `train.task.TASKS`."""
    if targets.ndim == 2:
        return "multilabel"
    return "classes" if np.issubdtype(targets.dtype, np.integer) else "numbers"


def read(path: pathlib.Path) -> np.ndarray:
    """An array of numbers, read from its file piece by piece."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"'{path}' must be an array as `numpy.save` writes it: {error}") from error
    if array.dtype.kind not in ("biuf" if path.name == LABELS else "iuf"):
        raise UsageError(f"'{path}' must hold numbers, got {array.dtype}")
    return array


def class_names(root: pathlib.Path) -> tuple[str, ...]:
    """Names of the classes, or ("value",) where the targets are numbers to be predicted."""
    targets = [read(root / split / answers(root / split)) for split in parts(root)]
    if any(array.ndim == 2 for array in targets):
        return _named(root, _columns(root, targets))
    if any(array.dtype.kind == "f" for array in targets):
        return ("value",)
    present = np.unique(np.concatenate([np.unique(array) for array in targets]))
    if present.size and present[0] < 0:
        raise UsageError(
            f"the targets in '{root}' must be classes numbered from 0, got {present[0]}; number "
            "them anew, and leave out examples without a class"
        )
    count = int(present[-1]) + 1 if present.size else 0
    if not (root / CLASSES).is_file() and len(present) < count:
        absent = int(np.setdiff1d(np.arange(min(count, 10**6)), present)[0])
        raise UsageError(
            f"the targets in '{root}' are {len(present)} classes with numbers up to "
            f"{count - 1}, and {absent} is none of them; number them without gaps, or name all "
            f"{count} in '{root / CLASSES}'"
        )
    return _named(root, count)


def _columns(root: pathlib.Path, labels: Sequence[np.ndarray]) -> int:
    """Classes of multi-hot labels, as many in every split."""
    counts = {array.shape[-1] if array.ndim == 2 else 1 for array in labels}
    if len(counts) > 1:
        raise UsageError(f"the splits of '{root}' must have as many classes, got {sorted(counts)}")
    return counts.pop()


def _named(root: pathlib.Path, count: int) -> tuple[str, ...]:
    """The names in the file of classes, or the numbers."""
    if not (root / CLASSES).is_file():
        return tuple(map(str, range(count)))
    names = tuple((root / CLASSES).read_text(encoding="utf-8").split("\n"))
    names = tuple(name.strip() for name in names if name.strip())
    if len(names) < count:
        raise UsageError(f"'{root / CLASSES}' names {len(names)} classes, the targets have {count}")
    return names
