"""`zoo explain`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.progress import track

import checkpoints
from checkpoints import paths
from checkpoints.preprocess import open_image
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.honest import explanations, maps
from train.predict import class_name, find_images, predict
from train.report import console, print_table
from zoo.errors import UsageError, printable

AT_LEAST_ONE = tyro.conf.arg(metavar="PHOTO...", help_behavior_hint="(at least one)")
MOST = 24  # pictures in a figure that can still be looked at


@dataclasses.dataclass(frozen=True)
class ExplainArguments:
    """Shows where in photographs a network finds its answer, by several methods side by side.

    For example:

        zoo explain cat.jpg --weights resnet50.a1_in1k --save map.png
        zoo explain path/to/folder --weights resnet8.digits --method gradcam,deep_lift --save a.html

    Methods: saliency, input_times_gradient, smooth_grad, integrated, guided, deep_lift, relevance,
    gradcam, rollout, occlusion, lime, shapley.

    Deletion is the area under the class's probability as the picture is covered, what a map holds
    for most relevant first (low is good); insertion the same as it is uncovered (high is good).
    """

    images: Annotated[tuple[str, ...], tyro.conf.Positional, AT_LEAST_ONE]
    """Image files, or folders of them."""
    weights: str
    """A name of `zoo weights`, a run, or a checkpoint directory."""
    method: str = "gradcam,integrated,occlusion"
    """Names of methods, with commas between them; see above."""
    target: str | None = None
    """The class that is explained, by its name or number; None is the network's answer."""
    stage: str | None = None
    """Where Grad-CAM looks; None is the last stage that the answer depends on."""
    baseline: float = 0.0
    """The shade that hides parts and that is compared with, from 0, black, to 1, white."""
    save: str | None = None
    """Draw the maps into this file: map.png, or map.html with the figures."""
    json: bool = False
    """Print JSON: one object per image and method."""


ARGUMENTS = ExplainArguments


def command(argv: list[str]) -> None:
    """`zoo explain`."""
    arguments = parse(ExplainArguments, "explain", argv)
    methods = [name.strip() for name in arguments.method.split(",") if name.strip()]
    explanations.check_methods(methods)
    if not 0 <= arguments.baseline <= 1:
        raise UsageError(f"`baseline` must be a shade from 0 to 1, got {arguments.baseline}")
    files = find_images(arguments.images)
    if len(files) > MOST:
        raise UsageError(f"a figure shows at most {MOST} pictures, got {len(files)}; name fewer")
    save = paths.local(arguments.save) if arguments.save else None
    if save:
        maps.check_file(save)
    loaded = checkpoints.load(arguments.weights)
    explanations.check_pictures(loaded.preprocess)
    _say_cost(methods, loaded.preprocess.image_size, len(files))
    rows = _rows(arguments, loaded, files, methods)
    if save:
        maps.save(rows, save)
    if arguments.json:
        return emit_json([entry for row in rows for entry in _entries(row)])
    columns = ["image", "class", "method", *rows[0].found[methods[0]].figures]
    cells = [
        [row.name, row.answer, method, *(f"{value:.3f}" for value in found.figures.values())]
        for row in rows
        for method, found in row.found.items()
    ]
    print_table(columns, cells)
    if save:
        console().print(printable(f"drawn: {save}"), soft_wrap=True)
    return None


def _say_cost(methods: list[str], side: int, count: int) -> None:
    each = explanations.passes(methods, side)
    console(stderr=True).print(
        f"{count} picture{'s' * (count > 1)} of {side} pixels, {len(methods)} methods: "
        f"about {count * each:,} passes through the network, after compiling each method"
    )


def _rows(
    arguments: ExplainArguments, loaded: checkpoints.Pretrained, files: list[Path], methods: Any
) -> list[maps.Row]:
    """What the methods find in every picture; the same class in all, if one is given."""
    images = [open_image(file) for file in files]
    likely = predict(loaded.model, loaded.variables, images, preprocess=loaded.preprocess)
    given = None if arguments.target is None else _class(arguments.target, loaded.card)
    terminal, rows = console(stderr=True), []
    shown = zip(files, images, likely, strict=True)
    for file, image, row in track(
        shown, "explaining", len(files), console=terminal, disable=not terminal.is_terminal
    ):
        pixels = loaded.preprocess.resize(image)
        target = int(np.argmax(row)) if given is None else given
        found = {
            name: explanations.explained(
                loaded,
                name,
                loaded.preprocess.normalize(pixels),
                target,
                baseline=arguments.baseline,
                stage=arguments.stage,
            )
            for name in methods
        }
        answer = f"{class_name(loaded.card, target)}, {row[target]:.1%}"
        rows.append(maps.Row(file.name, answer, pixels, found))
    return rows


def _class(wanted: str, card: checkpoints.Card) -> int:
    """The number of a class by its name or number."""
    labels = card.labels or ()
    if wanted in labels:
        return labels.index(wanted)
    if wanted.isdecimal() and int(wanted) < (card.num_classes or 0):
        return int(wanted)
    raise UsageError(
        f"`target` must be one of the {card.num_classes} classes of {card.name}, by its name or "
        f"its number from 0, got {wanted!r}"
    )


def _entries(row: maps.Row) -> list[dict[str, Any]]:
    return [
        {"image": row.name, "class": row.answer, "method": method, **found.figures}
        for method, found in row.found.items()
    ]
