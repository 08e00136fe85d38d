"""Class probabilities of images, and a picture of them."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Float

from checkpoints.card import Card
from checkpoints.preprocess import Preprocess, open_image
from train.pictures import image_grid
from zoo.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """The files named, and every image below the folders named, in order.

    Raises:
        UsageError: a path does not exist, or there is no image at all.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES)
            found += [p for p in inside if not p.name.startswith(".")]
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"no such image: {path}")
    if not found:
        raise UsageError(f"no images ({', '.join(SUFFIXES)}) in {', '.join(map(str, paths))}")
    return found


def predict(
    model: nn.Module,
    variables: Any,
    images: Sequence[Any],
    *,
    preprocess: Preprocess,
    batch_size: int = 64,
) -> Float[np.ndarray, "n k"]:
    """Class probabilities of images.

    Args:
        model: module called as `model(images, train=False)`.
        variables: `{"params": ..., "batch_stats": ...}`.
        images: paths, PIL images or uint8 arrays (h, w, c), of any sizes.
        preprocess: from a raw image to the network's input; belongs to the weights.
        batch_size: images at a time; the last batch is padded.
    """
    batch_size = min(batch_size, len(images))
    rows = []
    for start in range(0, len(images), batch_size):
        chunk = [preprocess(_opened(i)) for i in images[start : start + batch_size]]
        batch = np.stack(chunk + chunk[:1] * (batch_size - len(chunk)))
        rows.append(np.asarray(_compiled(model)(variables, batch))[: len(chunk)])
    return np.concatenate(rows)


def class_name(card: Card, index: int) -> str:
    """What the card calls a class, or its number."""
    return card.labels[index] if card.labels else f"class {index}"


def top_k(row: Float[np.ndarray, " k"], k: int = 5) -> list[int]:
    """Indices of the k largest probabilities, largest first."""
    return [int(i) for i in np.argsort(-row, kind="stable")[:k]]


def draw_grid(
    images: Sequence[Path], probabilities: Float[np.ndarray, "n k"], card: Card, path: Path
) -> None:
    """Draws every image with its first prediction and that one's probability, eight in a row."""
    best = [top_k(row, 1)[0] for row in probabilities]
    titles = [
        f"{class_name(card, k)}  {row[k]:.0%}\n{image.name}"
        for image, row, k in zip(images, probabilities, best, strict=True)
    ]
    picture = image_grid([np.asarray(open_image(image)) for image in images], titles)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def _opened(image: Any) -> Any:
    return open_image(image) if isinstance(image, str | Path) else image


@functools.lru_cache(maxsize=8)
def _compiled(model: nn.Module) -> Any:
    def probabilities(variables: Any, images: Any) -> Any:
        logits: Any = model.apply(variables, images, train=False)
        return jax.nn.softmax(logits)

    return jax.jit(probabilities)
