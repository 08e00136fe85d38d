"""`zoo predict`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import checkpoints
from checkpoints import paths
from checkpoints.card import Card
from checkpoints.preprocess import open_image, to_channels
from train import seen
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.data.folder import decoded_bytes
from train.predict import (
    answer,
    check_picture,
    class_name,
    draw_grid,
    find_images,
    predict,
    top_k,
)
from train.report import console, print_table
from train.task import of_card
from train.tta import views_of
from zoo.errors import UsageError, printable

AT_LEAST_ONE = tyro.conf.arg(metavar="IMAGE...", help_behavior_hint="(at least one)")


@dataclasses.dataclass(frozen=True)
class PredictArguments:
    """Names the classes of images, with probabilities; or tells their numbers.

    For example:

        zoo predict --weights resnet50.a1_in1k cat.jpg
        zoo predict --weights runs/resnet8-zoo_digits path/to/folder --save grid.png
    """

    images: Annotated[tuple[str, ...], tyro.conf.Positional, AT_LEAST_ONE]
    """Image files, or folders of them."""
    weights: str
    """A name of `zoo weights`, a run, or a checkpoint directory."""
    top: int = 5
    """How many classes to show for each image."""
    tta: str | None = None
    """Views of each image, of whose answers the mean counts: flip, vertical_flip, five_crop, or
    several as in flip,five_crop."""
    save: str | None = None
    """Draw the images with their predictions into this file, as in grid.png."""
    skip_broken: bool = False
    """Leave files out that cannot be read as images, and count them, instead of stopping."""
    json: bool = False
    """Print JSON: one object per image."""


ARGUMENTS = PredictArguments


def command(argv: list[str]) -> None:
    """`zoo predict`."""
    arguments = parse(PredictArguments, "predict", argv)
    if arguments.top < 1:
        raise UsageError(f"`--top` must be at least 1, got {arguments.top}")
    if arguments.tta is not None:
        views_of(arguments.tta)  # before anything is fetched
    files = find_images(arguments.images)
    if arguments.skip_broken:
        files = _readable(files)
    save = paths.local(arguments.save) if arguments.save else None
    if save:
        check_picture(save, len(files))
    loaded = checkpoints.load(arguments.weights)
    options: Any = {"preprocess": loaded.preprocess, "task": of_card(loaded.card)}
    options |= {"tta": arguments.tta}
    probabilities = predict(loaded.model, loaded.variables, files, **options)
    some = [np.asarray(to_channels(open_image(file), 3)) for file in files[: seen.SOME]]
    if warning := seen.lost_of(some, loaded.preprocess, str(files[0].parent)):
        console(stderr=True).print(printable(warning), soft_wrap=True)
    if save:
        draw_grid(files, probabilities, loaded.card, save)
    if arguments.json:
        answers = zip(files, probabilities, strict=True)
        return emit_json([_object(loaded.card, arguments.top, *one) for one in answers])
    cells = [
        [str(file), *(answer(loaded.card, i, float(row[i])) for i in top_k(row, arguments.top))]
        for file, row in zip(files, probabilities, strict=True)
    ]
    columns = ["image", *(f"{i + 1}." for i in range(len(cells[0]) - 1))]
    print_table(columns, cells)
    if save:
        console().print(printable(f"drawn: {save}"), soft_wrap=True)
    return None


def _object(card: Card, top: int, file: Path, row: Any) -> dict[str, Any]:
    """What is told of an image as JSON."""
    if card.task == "numbers":
        return {"image": str(file), "value": float(row[0])}
    named = [{"class": class_name(card, i), "probability": float(row[i])} for i in top_k(row, top)]
    return {"image": str(file), "top": named}


def _readable(files: list[Path]) -> list[Path]:
    """The files that can be read, and a line about those that cannot."""
    sound = [file for file in files if decoded_bytes(file) is not None]
    if not sound:
        raise UsageError(f"none of the {len(files)} files can be read as an image")
    if len(sound) < len(files):
        console(stderr=True).print(f"broken images left out: {len(files) - len(sound)}")
    return sound
