"""The first batch of a run, drawn as the network will see it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from checkpoints.preprocess import SequencePreprocess
from train import methods
from train.beginning import run_key
from train.config import Config
from train.loop import training_batches
from train.noise import STREAMS, Slice, placed
from train.objective import Batch
from train.pictures import image_grid
from train.plan import Plan, plan
from train.predict import check_picture, write_picture
from train.task import Mixture
from zoo.errors import UsageError

SHOWN = 100  # images of a batch that are drawn


def show_batch(config: Config, path: Path) -> int:
    """Draws the first batch of a run into a file, with its classes; nothing is trained.

    Images are those that the network gets in the first update: cropped, augmented, mixed, erased,
    with their normalisation undone. Of what a method does beside, such as an attack, nothing is
    seen.

    Args:
        config: the run.
        path: of the picture, as in batch.png.

    Returns:
        How many images were drawn, at most 100.

    Raises:
        UsageError: the config cannot be run as it stands, it is of series, or the file cannot be
            written.
    """
    check_picture(path, 1)
    return draw(plan(config), path)


def draw(planned: Plan, path: Path) -> int:
    """Draws the first batch of a planned run, see `show_batch`.

    Raises:
        UsageError: the run is of series, or the file cannot be written.
    """
    preprocess = planned.network.card.preprocess
    if isinstance(preprocess, SequencePreprocess):
        raise UsageError(f"`show_batch` draws images, and {planned.training.name} holds series")
    batch = first_batch(planned)
    images = np.asarray(batch["input"][:SHOWN]) * np.asarray(preprocess.std) + preprocess.mean
    images = np.broadcast_to(images, (*images.shape[:3], 3))  # grey as it is, not stretched
    titles = title_of(batch["label"], planned.training.class_names)[:SHOWN]
    write_picture(image_grid(list(np.clip(images, 0, 1)), titles, columns=10), path)
    return len(images)


def first_batch(planned: Plan) -> Batch:
    """What the network is given in the first update of a run, and its labels.

    A batch whose gradient is computed in slices comes slice by slice.
    """
    config = planned.config
    batches = training_batches(planned, 0)
    batch = next(batches)
    batches.close()
    setting = methods.Setting(preprocess=planned.network.card.preprocess)
    key = jax.random.fold_in(jax.random.fold_in(run_key(config.seed), 0), len(STREAMS))
    count = config.accumulate
    slices = [
        methods.transformed(
            config.objective,
            setting,
            jax.tree.map(lambda x, n=n: jax.numpy.asarray(x[n::count]), batch),
            placed(key, None, Slice(n, count)),
        )
        for n in range(count)
    ]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *slices)


def title_of(labels: Any, names: Sequence[str]) -> list[str]:
    """Labels in words: classes by their names, of mixed examples both with their shares."""
    if not isinstance(labels, Mixture):
        return [_name(label, names) for label in np.asarray(labels)]
    first, second = title_of(labels.first, names), title_of(labels.second, names)
    shares = np.asarray(labels.share)
    return [
        f"{a} {share:.0%}\n{b} {1 - share:.0%}"
        for a, b, share in zip(first, second, shares, strict=True)
    ]


def _name(label: Any, names: Sequence[str]) -> str:
    if np.ndim(label):
        return ", ".join(n for n, held in zip(names, label, strict=True) if held) or "none"
    return names[int(label)] if np.issubdtype(label.dtype, np.integer) else f"{label:.4g}"
