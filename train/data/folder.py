"""Folders of images: one sub-folder per class, and perhaps one folder of those per split.

    pets/beagle/1.jpg          pets/train/beagle/1.jpg
    pets/persian/2.png   or    pets/test/persian/3.jpg

Class names are the sorted names of the sub-folders, of all splits together. A folder without splits
is cut by a hash of the files' names: a fifth of every class is "test", the rest "train", and "all"
is both. Examples come in the order of that hash, so that a slice such as "train[:10%]" is a fair
sample. Images may lie deeper inside a class; whatever is hidden is ignored.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from PIL import Image

from checkpoints.preprocess import open_image, to_channels
from train.data.dataset import Example, Source, pixels
from zoo.errors import UsageError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
SPLITS = ("train", "validation", "val", "valid", "test")
TEST_SHARE = 0.2
SLICE = re.compile(r"(?P<split>\w+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")

Labelled = tuple[pathlib.Path, int]
Parts = dict[str, list[Labelled]]


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
        decoded_bytes: int,
    ):
        super().__init__(
            name=name,
            split=split,
            class_names=class_names,
            skipped=skipped,
            decoded_bytes=decoded_bytes,
        )
        self.files = tuple(files)

    def __len__(self) -> int:
        return len(self.files)

    def label(self, index: int) -> int:
        return self.files[index][1]

    def read(self, index: int) -> Example:
        path, label = self.files[index]
        image = open_image(path)
        grey = image.mode[0] in "1LI"  # bilevel, 8 bits, 16 or 32 bits, each perhaps with alpha
        return {"input": pixels(to_channels(image, 1 if grey else 3)), "label": label}


def load(root: pathlib.Path, split: str, *, skip_broken: bool = False) -> ImageFolder:
    """Opens a split, or a slice of one, after decoding each of its files once to check it.

    Raises:
        UsageError: there is no such folder or split, there are no images or images of one class
            only, or a file is broken and `skip_broken` is not set.
    """
    class_names, parts = scan(root)
    files = select(root, parts, split)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sizes = list(pool.map(decoded_bytes, (path for path, _ in files)))
    sound = [(file, size) for file, size in zip(files, sizes, strict=True) if size is not None]
    broken = [path for (path, _), size in zip(files, sizes, strict=True) if size is None]
    if broken and not skip_broken:
        raise UsageError(
            f"'{broken[0]}' {more(len(broken) - 1)}cannot be read as an image; mend or remove what "
            "is broken, or leave it out with `skip_broken` (--skip-broken)"
        )
    if not sound:
        raise UsageError(
            f"split {split!r} of folder '{root}' holds no images that can be read; add some, or "
            "choose another split"
        )
    return ImageFolder(
        str(root),
        split,
        class_names,
        [file for file, _ in sound],
        skipped=len(broken),
        decoded_bytes=sum(size for _, size in sound),
    )


def splits(root: pathlib.Path) -> tuple[str, ...]:
    """Names of the splits of a folder."""
    return tuple(scan(root)[1])


def scan(root: pathlib.Path) -> tuple[list[str], Parts]:
    """Lists the classes of a folder, and the files of each split.

    Raises:
        UsageError: there is no such folder, or not at least two classes with images in it.
    """
    if not root.is_dir():
        raise UsageError(
            f"there is no folder '{root}'; give a folder with one sub-folder per class"
        )
    homes = [root / split for split in SPLITS if subfolders(root / split)]
    class_names = sorted({folder.name for home in homes or [root] for folder in subfolders(home)})
    found = {home.name: labelled_files(home, class_names) for home in homes or [root]}
    check_classes(root, class_names, found)
    return class_names, found if homes else cut(found[root.name])


def check_classes(root: pathlib.Path, class_names: Sequence[str], parts: Parts) -> None:
    """Raises a UsageError unless there are images of two classes."""
    present = sorted({label for files in parts.values() for _, label in files})
    if not present:
        raise UsageError(
            f"folder '{root}' has no images in class sub-folders; put files ending in "
            f"{', '.join(sorted(EXTENSIONS))} into one sub-folder per class"
        )
    if len(present) == 1:
        raise UsageError(
            f"folder '{root}' has images of one class only, {class_names[present[0]]!r}; put the "
            "images of each further class into a sub-folder of its own"
        )


def subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The visible folders in a folder; none if it does not exist."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def labelled_files(home: pathlib.Path, class_names: Sequence[str]) -> list[Labelled]:
    """All images of the classes in a folder, in the order of a hash of their names."""
    files = [
        (path, label) for label, name in enumerate(class_names) for path in images(home / name)
    ]

    def digest(file: Labelled) -> bytes:
        name = file[0].relative_to(home).as_posix()
        return hashlib.blake2b(os.fsencode(name), digest_size=16).digest()

    return sorted(files, key=digest)


def images(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Visible image files of a folder and of all folders in it; links are followed, once each."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        where = pathlib.Path(place)
        seen.add(where.resolve())
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and (where / name).resolve() not in seen
        ]
        for name in names:
            path = where / name
            if not name.startswith(".") and path.suffix.lower() in EXTENSIONS:
                yield path


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
    """The files of a split, or of a slice such as `train[:10%]` or `test[20:]`."""
    match = SLICE.fullmatch(split)
    name = match["split"] if match else split
    if name == "validation":
        name = next((n for n in ("validation", "val", "valid") if n in parts), name)
    if match is None or name not in parts:
        raise UsageError(
            f"folder '{root}' has no split {split!r}; it has {', '.join(map(repr, parts))}, and "
            "slices of them such as 'train[:10%]'"
        )
    files = parts[name]
    return files[bound(match["start"], len(files)) : bound(match["stop"], len(files))]


def bound(text: str | None, length: int) -> int | None:
    """A bound of a slice, a number of images or a share of them."""
    if text is None or not text.endswith("%"):
        return None if text is None else int(text)
    return round(int(text[:-1]) / 100 * length)


def decoded_bytes(path: pathlib.Path) -> int | None:
    """Decodes a file in full and returns what its image takes in memory, None if it is broken.

    A JPEG is decoded at an eighth of its size, which reads the whole file cheaply.
    """
    try:
        with Image.open(path) as image:
            size = image.width * image.height * 3
            image.draft("L", (1, 1))
            to_channels(image)
    except Exception:  # Pillow's decoders raise whatever their parsers meet
        return None
    return size


def more(count: int) -> str:
    """The words for further broken files."""
    return f"(and {count} more) " if count else ""
