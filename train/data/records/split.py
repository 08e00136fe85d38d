"""Files of records together as a data set of labelled images."""

import io
import pathlib
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from checkpoints.pictures import opened, upright
from checkpoints.preprocess import to_channels
from train.data.dataset import Example, Source, pixels
from train.data.digest import digest
from train.data.records.formats import FORMATS, Shard
from train.data.slices import SPLITS, pieces
from zoo.errors import UsageError

IMAGES = ("image", "img", "image/encoded", "jpg", "jpeg", "png", "webp")
LABELS = ("label", "labels", "cls", "class", "image/class/label", "fine_label", "target")
CLASSES = ("classes.txt", "label.labels.txt", "labels.txt")
_FILE = re.compile(rf".+\.({'|'.join(FORMATS)})(-\d+-of-\d+)?")
_SPLIT = re.compile(rf"(?:^|[^a-z])({'|'.join(SPLITS)})(?:[^a-z]|$)")


Fields = dict[str, Any]


class Records:
    """Records of several files, numbered through."""

    def __init__(self, files: Sequence[Shard]):
        self.files = tuple(files)
        self._ends = np.cumsum([shard.length for shard in files])

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.files else 0

    def __getitem__(self, number: int) -> dict[str, Any]:
        shard, row = self._place(number)
        try:
            return shard.read(row)
        except Exception as error:  # parsers raise whatever they meet
            raise UsageError(f"{self.where(number)} cannot be read: {error}") from error

    def where(self, number: int) -> str:
        """A record in words: its file, and its number there."""
        shard, row = self._place(number)
        return f"record {row} of '{shard.path}'"

    def picture(self, number: int, fields: Fields | None = None) -> bytes:
        """The bytes of a record's picture; `fields` where it was read before."""
        found = self._one(number, IMAGES, fields)
        found = found.get("bytes") if isinstance(found, dict) else found
        if isinstance(found, bytes):
            return found
        kind = type(found).__name__
        raise UsageError(f"{self.where(number)} must hold a picture's bytes, got {kind}")

    def label(self, number: int, fields: Fields | None = None) -> int | str:
        """The class of a record: its number, or its name."""
        found = self._one(number, LABELS, fields)
        if isinstance(found, bytes):
            found = found.decode(errors="replace").strip()
        if isinstance(found, str) and re.fullmatch(r"-?\d+", found):
            return int(found)
        if isinstance(found, int | str) and not isinstance(found, bool):
            return found
        raise UsageError(f"{self.where(number)} has the label {found!r}, and one class is wanted")

    def _one(self, number: int, names: Sequence[str], fields: Fields | None) -> Any:
        """The first of some fields that a record has; of a list of one value, this."""
        fields = fields or self[number]
        for name in names:
            if (found := fields.get(name)) is not None:
                return found[0] if isinstance(found, list) and len(found) == 1 else found
        raise UsageError(
            f"{self.where(number)} has the fields {', '.join(sorted(fields))}, and none of "
            f"{', '.join(names)}; write one of these"
        )

    def _place(self, number: int) -> tuple[Shard, int]:
        """The file with a record, and its row there."""
        at = int(np.searchsorted(self._ends, number, side="right"))
        return self.files[at], int(number - self._ends[at]) + self.files[at].length


class RecordSplit(Source):
    """One split of files of records, a slice of it, or several on end."""

    def __init__(
        self,
        name: str,
        split: str,
        class_names: Sequence[str],
        records: Records,
        chosen: Int64[np.ndarray, " n"],
    ):
        super().__init__(name=name, split=split, class_names=class_names)
        self._records, self._chosen = records, chosen.tolist()
        self._numbers = {name: number for number, name in enumerate(self.class_names)}

    def __len__(self) -> int:
        return len(self._chosen)

    def label(self, index: int) -> int:
        return self._label(index)

    def _label(self, index: int, fields: Fields | None = None) -> int:
        found = self._records.label(self._chosen[index], fields)
        if isinstance(found, int):
            return found
        if found in self._numbers:
            return self._numbers[found]
        where = self._records.where(self._chosen[index])
        raise UsageError(f"{where} has the label {found!r}, which is none of the classes")

    def encoded(self, index: int) -> io.BytesIO:
        """The file of one example's picture."""
        return io.BytesIO(self._records.picture(self._chosen[index]))

    def read(self, index: int) -> Example:
        fields = self._records[self._chosen[index]]
        file = self._records.picture(self._chosen[index], fields)
        try:
            with opened(io.BytesIO(file)) as image:
                grey = image.mode[0] in "1LI"
                found = pixels(to_channels(upright(image), 1 if grey else 3))
        except Exception as error:  # Pillow's decoders raise whatever their parsers meet
            where = self._records.where(self._chosen[index])
            raise UsageError(f"{where} cannot be read as an image: {error}") from error
        return {"input": found, "label": self._label(index, fields)}

    def contents(self) -> dict[str, str]:
        return {"files": digest(sorted(shard.path for shard in self._records.files))}


def shards(root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Files of records of each split; none if they are files of something else.

    A split is named by a file or its folder; those of which no name says it are "train".
    """
    homes = (root, root / "data", *(root / split for split in SPLITS))
    files = [root] if root.is_file() else [file for home in homes for file in home.glob("*")]
    found = defaultdict[str, list[pathlib.Path]](list)
    for path in sorted(file for file in files if _FILE.fullmatch(file.name) and file.is_file()):
        below = path.relative_to(root).as_posix() if path != root else path.name
        named = _SPLIT.search(below.lower())
        found[named[1] if named else "train"].append(path)
    return {split: found[split] for split in SPLITS if split in found}


def splits(root: pathlib.Path) -> tuple[str, ...]:
    """Names of the splits of a folder."""
    return tuple(shards(root))


def load(root: pathlib.Path, split: str) -> RecordSplit:
    """Opens a split, a slice of one such as `train[:10%]`, or several, `train+validation`.

    Raises:
        UsageError: there is no such split, or a file does not hold labelled images.
    """
    files = {name: [_opened(path) for path in paths] for name, paths in shards(root).items()}
    counts = {name: sum(shard.length for shard in of) for name, of in files.items()}
    found = pieces(split, [*files], counts.__getitem__, f"'{root}'")
    begins = dict(zip(counts, np.cumsum([0, *counts.values()]), strict=False))
    chosen = [begins[name] + np.arange(counts[name])[part] for name, part in found]
    records = Records([shard for of in files.values() for shard in of])
    return RecordSplit(
        str(root), split, class_names(root, records), records, np.concatenate(chosen)
    )


def class_names(root: pathlib.Path, records: Records) -> tuple[str, ...]:
    """Names in a file beside the records, else in these, else what their labels are, sorted."""
    for name in CLASSES if root.is_dir() else ():
        if (root / name).is_file():
            lines = (root / name).read_text(encoding="utf-8").split("\n")
            return tuple(line.strip() for line in lines if line.strip())
    for shard in records.files:
        if known := [names for names in map(shard.names.get, LABELS) if names]:
            return tuple(known[0])
    labels = {records.label(number) for number in range(len(records))}
    numbers = [label for label in labels if isinstance(label, int)]
    if len(numbers) == len(labels):
        return tuple(str(n) for n in range(max(numbers) + 1))
    return tuple(sorted(map(str, labels)))


def _opened(path: pathlib.Path) -> Shard:
    ending = _FILE.fullmatch(path.name)
    assert ending is not None  # or `shards` would not have found it
    try:
        return FORMATS[ending[1]](path)
    except Exception as error:  # parsers raise whatever they meet
        raise UsageError(f"'{path}' cannot be read as {ending[1]}: {error}") from error
