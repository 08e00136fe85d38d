"""Answers to images, class probabilities above all, and a picture of them."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from checkpoints.card import Card
from checkpoints.paths import local
from checkpoints.preprocess import Preprocess, open_image, to_channels
from train.pictures import image_grid
from train.task import CLASSES, Task
from train.tta import outputs, viewed
from zoo.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
THUMBNAIL = 256  # pixels: more are not seen in a grid
MOST = 1000  # images in a grid


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """The files named, and every image below the folders named, in order.

    Raises:
        UsageError: a path does not exist, or there is no image at all.
    """
    named, found = list(paths), []
    if not named:
        raise UsageError("give at least one image, or a folder of images")
    for path in map(local, named):
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES)
            found += [p for p in inside if not p.name.startswith(".")]
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"no such image: {path}")
    if not found:
        raise UsageError(f"no images ({', '.join(SUFFIXES)}) in {', '.join(map(str, named))}")
    return found


def predict(
    model: nn.Module,
    variables: Any,
    images: Sequence[Any],
    *,
    preprocess: Preprocess,
    batch_size: int = 64,
    task: Task = CLASSES,
    tta: str | None = None,
) -> Float[np.ndarray, "n k"]:
    """What a model answers to images: the probabilities of classes, or numbers.

    Args:
        model: module called as `model(images, train=False)`.
        variables: `{"params": ..., "batch_stats": ...}`.
        images: paths, PIL images or uint8 arrays (h, w, c), of any sizes.
        preprocess: from a raw image to the network's input; belongs to the weights.
        batch_size: images at a time; the last batch is padded.
        task: what outputs are; see `train.task.of_card`.
        tta: views of each image of which the mean is told, as in "flip,five_crop": `train.tta`.

    Returns:
        A row for each image: probabilities that add to one, of any of several classes one each
        between 0 and 1, or a number.

    >>> loaded = checkpoints.load("resnet8.digits")
    >>> data = train.load_dataset("zoo_digits", "test")
    >>> probabilities = train.predict(
    ...     loaded.model, loaded.variables, [data[0]["input"]], preprocess=loaded.preprocess
    ... )
    >>> probabilities.shape, int(probabilities[0].argmax()), data[0]["label"]
    ((1, 10), 1, 1)
    """
    batch_size, preprocess = min(batch_size, len(images)), viewed(preprocess, tta)
    rows = []
    for start in range(0, len(images), batch_size):
        chunk = [_prepared(i, preprocess) for i in images[start : start + batch_size]]
        batch = np.stack(chunk + chunk[:1] * (batch_size - len(chunk)))
        rows.append(np.asarray(_compiled(model, task)(variables, batch))[: len(chunk)])
    return np.concatenate(rows)


def class_name(card: Card, index: int) -> str:
    """What the card calls a class, or its number."""
    return card.labels[index] if card.labels else f"class {index}"


def answer(card: Card, index: int, value: float) -> str:
    """One of the answers in words: a class with its probability, or a number."""
    if card.task == "numbers":
        return f"{value:.4g}"
    return f"{class_name(card, index)} {value:.1%}"


def top_k(row: Float[np.ndarray, " k"], k: int = 5) -> list[int]:
    """Indices of the k largest probabilities, largest first."""
    return [int(i) for i in np.argsort(-row, kind="stable")[:k]]


def draw_grid(
    images: Sequence[Path], probabilities: Float[np.ndarray, "n k"], card: Card, path: Path
) -> None:
    """Draws every image with its first prediction and that one's probability, eight in a row.

    Raises:
        UsageError: the file cannot be written; see `check_picture`.
    """
    check_picture(path, len(images))
    best = [top_k(row, 1)[0] for row in probabilities]
    titles = [
        f"{_title(card, k, float(row[k]))}\n{_short(image.name, 20)}"
        for image, row, k in zip(images, probabilities, best, strict=True)
    ]
    write_picture(image_grid([_thumbnail(image) for image in images], titles), path)


def write_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture, whole or not at all, into a folder that is made if there is none.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _save_whole(picture, path)
    except OSError as error:
        raise UsageError(f"could not write {str(path)!r}: {error.strerror or error}") from error


def check_picture(path: Path, count: int) -> None:
    """Refuses a file that no picture of so many images can be written to.

    Raises:
        UsageError: it is a directory, or its name does not end as that of a picture does, or the
            images are too many for one.
    """
    if count > MOST:
        raise UsageError(f"a picture shows at most {MOST:,} images, got {count:,}; name fewer")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"a picture's name must end in one of {', '.join(SUFFIXES)}, got {str(path)!r}"
        )
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a directory; name a file, as in {path / 'grid.png'}")


def _save_whole(picture: Image.Image, path: Path) -> None:
    """Writes beside the place first, so that the file is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial{path.suffix}")
    try:
        picture.save(partial)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _title(card: Card, index: int, value: float) -> str:
    """The first answer, as it fits above a picture of a grid."""
    if card.task == "numbers":
        return answer(card, index, value)
    return f"{_short(class_name(card, index), 15)}  {value:.0%}"


def _short(text: str, longest: int) -> str:
    """What fits above a picture of a grid."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _thumbnail(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    image = to_channels(open_image(path), 3)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(image)


def _prepared(image: Any, preprocess: Preprocess) -> Float[np.ndarray, "..."]:
    if not isinstance(image, str | Path):
        return preprocess(image)
    opened = open_image(image)
    try:
        return preprocess(opened)
    except UsageError as error:
        raise UsageError(f"'{image}' cannot be used: {error}") from error


@functools.lru_cache(maxsize=8)
def _compiled(model: nn.Module, task: Task) -> Any:
    return jax.jit(lambda v, images: task.answers(outputs(model, v, images, task)))
