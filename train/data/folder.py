"""Folders of images: one sub-folder per class, and perhaps one folder of those per split.

    pets/beagle/1.jpg          pets/train/beagle/1.jpg
    pets/persian/2.png   or    pets/test/persian/3.jpg

Class names are the sorted names of the sub-folders with images, of all splits together. A folder
without splits is cut by a hash of the files' names: a fifth of every class is "test", the rest
"train", and "all" is both. Examples come in the order of that hash, so that a slice such as
"train[:10%]" is a fair sample. Images may lie deeper inside a class; whatever is hidden is ignored.
"""

import concurrent.futures
import hashlib
import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8

from checkpoints.pictures import opened
from checkpoints.preprocess import open_image, to_channels
from train.data.dataset import Example, Source, pixels
from train.data.digest import digest
from train.data.slices import SPLITS, pieces
from zoo.errors import UsageError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
TEST_SHARE = 0.2
SAMPLED, MOST_SAMPLED = 8, 2048  # files of a class, and of all, that are read for a digest
SHOWN = 5  # names in an error message

Labelled = tuple[pathlib.Path, int]
Parts = dict[str, list[Labelled]]
L = TypeVar("L")


class ImageFolder(Source):
    """Labelled image files; grey files give one channel, all others three."""

    def __init__(
        self,
        name: str,
        split: str,
        class_names: Sequence[str],
        files: Sequence[Labelled],
        *,
        skipped: int,
        left_out: str = "",
        decoded_bytes: int,
    ):
        super().__init__(
            name=name,
            split=split,
            class_names=class_names,
            skipped=skipped,
            left_out=left_out,
            decoded_bytes=decoded_bytes,
        )
        self.files = tuple(files)

    def __len__(self) -> int:
        return len(self.files)

    def label(self, index: int) -> int:
        return self.files[index][1]

    def encoded(self, index: int) -> pathlib.Path:
        """The file of one example's picture."""
        return self.files[index][0]

    def contents(self) -> dict[str, str]:
        """Of the first files of each class; names and sizes of all are known beside this."""
        some, seen = [], Counter[int]()
        for path, label in sorted(self.files):
            seen[label] += 1
            if seen[label] <= SAMPLED and len(some) < MOST_SAMPLED:
                some.append(path)
        return {"the first images of each class": digest(some)}

    def read(self, index: int) -> Example:
        path, label = self.files[index]
        return {"input": read_image(path), "label": label}


def read_image(path: pathlib.Path) -> UInt8[np.ndarray, "h w c"]:
    """The pixels of a file: one channel if it is grey, else three."""
    image = open_image(path)
    grey = image.mode[0] in "1LI"  # bilevel, 8 bits, 16 or 32 bits, each perhaps with alpha
    return pixels(to_channels(image, 1 if grey else 3))


def load(root: pathlib.Path, split: str, *, skip_broken: bool = False) -> ImageFolder:
    """Opens a split, or a slice of one, after decoding each of its files once to check it.

    Raises:
        UsageError: there is no such folder or split, there are no images or images of one class
            only, or a file is broken and `skip_broken` is not set.
    """
    class_names, parts, left_out = scan(root)
    files, decoded, broken = checked(select(root, parts, split), root, split, skip_broken)
    return ImageFolder(
        str(root),
        split,
        class_names,
        files,
        skipped=broken,
        left_out=described(left_out | {"broken images": broken}),
        decoded_bytes=decoded,
    )


def checked(
    files: Sequence[tuple[pathlib.Path, L]], root: pathlib.Path, split: str, skip_broken: bool
) -> tuple[list[tuple[pathlib.Path, L]], int, int]:
    """The files that are images, what they take once decoded, and how many are broken.

    Args:
        files: with their labels.
        root: the folder that they lie in.
        split: what they are of.
        skip_broken: leaves broken ones out, instead of raising.

    Raises:
        UsageError: a file is broken and `skip_broken` is not set, or all are.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sizes = list(pool.map(decoded_bytes, (path for path, _ in files)))
    sound = [file for file, size in zip(files, sizes, strict=True) if size is not None]
    broken = [path for (path, _), size in zip(files, sizes, strict=True) if size is None]
    if broken and not skip_broken:
        raise UsageError(
            f"'{broken[0]}' {more(len(broken) - 1)}cannot be read as an image; mend or remove what "
            "is broken, or leave it out with `skip_broken`"
        )
    if not sound:
        raise UsageError(
            f"split {split!r} of folder '{root}' holds no images that can be read; add some, or "
            "choose another split"
        )
    return sound, sum(filter(None, sizes)), len(broken)


def splits(root: pathlib.Path) -> tuple[str, ...]:
    """Names of the splits of a folder."""
    return tuple(scan(root).parts)


class Scan(NamedTuple):
    """What lies in a folder.

    Attributes:
        class_names: sorted.
        parts: labelled files of each split.
        left_out: what is not used, in words, and how much there is of it.
    """

    class_names: list[str]
    parts: Parts
    left_out: dict[str, int]


def scan(root: pathlib.Path) -> Scan:
    """Lists the classes of a folder, and the files of each split.

    A folder without images is no class, and neither is what computers put there by themselves.

    Raises:
        UsageError: there is no such folder, or not at least two classes with images in it; there
            are classes beside the splits, or classes without images to train on.
    """
    if not root.is_dir():
        raise UsageError(
            f"there is no folder '{root}'; give a folder with one sub-folder per class"
        )
    homes = [root / split for split in SPLITS if subfolders(root / split)]
    found = {home: {f.name: listed(f) for f in subfolders(home)} for home in homes or [root]}
    class_names = sorted({n for files in found.values() for n, f in files.items() if f.images})
    if homes:
        _check_splits(root, homes, found)
    left_out = Counter[str]()
    for files in found.values():
        for inside in files.values():
            left_out.update(inside.others)
            left_out["empty folders"] += not inside.images and not inside.others
    parts = {home.name: in_order(home, files, class_names) for home, files in found.items()}
    check_classes(root, class_names, parts, left_out)
    return Scan(class_names, parts if homes else cut(parts[root.name]), dict(+left_out))


def _check_splits(
    root: pathlib.Path, homes: list[pathlib.Path], found: dict[pathlib.Path, dict[str, "Listed"]]
) -> None:
    """Refuses classes beside the splits, and those that training would never see."""
    beside = [f.name for f in subfolders(root) if f not in homes and listed(f).images]
    if beside:
        raise UsageError(
            f"folder '{root}' has splits ({', '.join(home.name for home in homes)}) and, beside "
            f"them, folders with images ({_some(beside)}); move these into the splits, or away"
        )
    trained = {n for n, files in found.get(root / "train", {}).items() if files.images}
    others = {n for home in homes for n, files in found[home].items() if files.images}
    if trained and (never := sorted(others - trained)):
        raise UsageError(
            f"folder '{root}' has classes without images in train/: {_some(never)}; add some, or "
            "move these classes away"
        )


def check_classes(
    root: pathlib.Path, class_names: Sequence[str], parts: Parts, left_out: dict[str, int]
) -> None:
    """Raises a UsageError unless there are images of two classes."""
    present = sorted({label for files in parts.values() for _, label in files})
    if not present:
        unread = f" (there are {described(left_out)})" if +Counter(left_out) else ""
        raise UsageError(
            f"folder '{root}' has no images in class sub-folders{unread}; put files ending in "
            f"{', '.join(sorted(EXTENSIONS))} into one sub-folder per class, and convert others"
        )
    if len(present) == 1:
        raise UsageError(
            f"folder '{root}' has images of one class only, {class_names[present[0]]!r}; put the "
            "images of each further class into a sub-folder of its own"
        )


def subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The visible folders in a folder, sorted; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.is_dir() and is_visible(f.name))


def is_visible(name: str) -> bool:
    """Whether a name is a person's choice, not one that systems give to what they put there."""
    return not name.startswith((".", "@")) and name not in ("__MACOSX", "lost+found")


class Listed(NamedTuple):
    """Files of a class: images, and how many there are of others, by their kind."""

    images: list[pathlib.Path]
    others: dict[str, int]


def listed(folder: pathlib.Path) -> Listed:
    """Visible files of a folder and of all folders in it; links are followed, once each.

    What is no regular file, such as a pipe, is never opened.
    """
    seen, found, others = set(), [], Counter[str]()
    for place, folders, names in os.walk(folder, followlinks=True):
        where = pathlib.Path(place)
        seen.add(where.resolve())
        folders[:] = [n for n in folders if is_visible(n) and (where / n).resolve() not in seen]
        for path in (where / name for name in names if is_visible(name)):
            if path.suffix.lower() in EXTENSIONS and path.is_file():
                found.append(path)
            else:
                kind = path.suffix.lower() if path.is_file() else "special"
                others[f"{kind or 'nameless'} files"] += 1
    return Listed(found, dict(others))


def in_order(
    home: pathlib.Path, files: dict[str, Listed], class_names: Sequence[str]
) -> list[Labelled]:
    """All images of the classes in a folder, in the order of a hash of their names."""
    numbers = {name: label for label, name in enumerate(class_names)}
    labelled = [(path, numbers[n]) for n, inside in files.items() for path in inside.images]

    return sorted(labelled, key=lambda file: place(file[0].relative_to(home).as_posix()))


def place(name: str) -> bytes:
    """By what files are ordered: a hash of their names."""
    return hashlib.blake2b(os.fsencode(name), digest_size=16).digest()


def described(left_out: dict[str, int]) -> str:
    """What was left out, in words."""
    return ", ".join(f"{count} {what}" for what, count in sorted(left_out.items()) if count)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def cut(files: Sequence[Labelled]) -> Parts:
    """Cuts files, given in the order of their hashes, into test (a fifth of a class) and train."""
    members: dict[int, list[Labelled]] = defaultdict(list)
    for file in files:
        members[file[1]].append(file)
    test = {f for group in members.values() for f in group[: round(len(group) * TEST_SHARE)]}
    return {
        "train": [file for file in files if file not in test],
        "test": [file for file in files if file in test],
        "all": list(files),
    }


def select(root: pathlib.Path, parts: Parts, split: str) -> list[Labelled]:
    """The files of a split, of a slice such as `train[:10%]`, or of several, `train+validation`."""
    found = pieces(split, [*parts], lambda name: len(parts[name]), f"folder '{root}'")
    return [file for name, part in found for file in parts[name][part]]


def decoded_bytes(path: pathlib.Path) -> int | None:
    """Decodes a file in full and returns what its image takes in memory, None if it is broken.

    A JPEG is decoded at an eighth of its size, which reads the whole file cheaply.
    """
    try:
        with opened(path) as image:
            size = image.width * image.height * 3
            image.draft("L", (1, 1))
            to_channels(image)
    except Exception:  # Pillow's decoders raise whatever their parsers meet
        return None
    return size


def more(count: int) -> str:
    """The words for further broken files."""
    return f"(and {count} more) " if count else ""
