"""A file of weights on this machine, to a card and variables."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo
from checkpoints import identify, readers, recognise, released
from checkpoints.card import Card, current_versions
from checkpoints.preprocess import Preprocess, SequencePreprocess
from zoo.errors import UsageError

_log = logging.getLogger(__name__)


def load_file(
    path: Path,
    architecture: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    source: str | None = None,
    preprocess_like: str | None = None,
) -> tuple[Card, dict[str, Any]]:
    """Card and variables of a file in any format of `readers`.

    What the catalogue knows of the file is in the card: preprocessing, classes, licence. A file
    that it knows by name only, or not at all, is said to be so in a warning of the log.

    Args:
        path: the file.
        architecture: name in `zoo.list_models()`; None for the one in the file's name.
        overrides: fields of the model that differ from the catalogue's.
        source: library whose names the file uses; None to find out.
        preprocess_like: name of the published weights that see images as these do; None for what
            the catalogue knows of the file.

    Raises:
        UsageError: the file cannot be read, does not fit the architecture, or is not the one that
            the hash in its name is of.
    """
    like = None if preprocess_like is None else _like(preprocess_like)
    readers.check_is_file(path)
    digests = identify.digests(path)
    identify.check_digits(path.name, digests)
    row = identify.published(path.name, digests)
    contents = readers.read_contents(path)
    for note in contents.notes:
        _log.info("%s: %s", path, note)
    if architecture is None:
        architecture = row.card.architecture if row else _architecture(path, contents.tensors)
    try:
        found = recognise.convert(architecture, overrides or {}, contents.tensors, source)
    except UsageError as error:
        raise UsageError(f"{str(path)!r} is no file of {architecture}: {error}") from error
    preprocess, reason, doubt = _preprocess(architecture, row, like)
    preprocess = _fitted(preprocess, architecture, overrides or {}, found.channels)
    if doubt is not None:
        _log.warning(_DOUBT, path.name, doubt, preprocess)
    card = Card(
        name=path.name,
        architecture=architecture,
        overrides=dict(overrides or {}),
        num_classes=found.num_classes,
        preprocess=preprocess,
        source={
            "kind": "file",
            "file": path.name,
            "sha256": digests["sha256"],
            "checked": _checked(row),
            "preprocess": reason,
            "notes": list(contents.notes),
        },
        format=found.source,
        versions=current_versions(),
    )
    return _described(card, row.card) if row else card, found.variables


def _like(name: str) -> Card:
    try:
        return released.weights_info(name)
    except UsageError as error:
        raise UsageError(f"`preprocess_like` must be the name of weights: {error}") from error


def _described(card: Card, known: Card) -> Card:
    """With what the catalogue knows of the weights, unless the file has another network or head."""
    network = (card.architecture, card.num_classes, card.overrides)
    if network != (known.architecture, known.num_classes, known.overrides):
        return card
    facts = ("label_set", "class_names", "license", "trained_on", "paper")
    return replace(card, **{name: getattr(known, name) for name in facts})


def _checked(row: identify.Found | None) -> str:
    if row is None:
        return "names and shapes only: no published hash is known for this file"
    if row.certain:
        return f"its hash is that of {row.card.name}"
    return f"its name is that of {row.card.name}; no hash was there to compare"


def _architecture(path: Path, tensors: Mapping[str, Any]) -> str:
    name = recognise.named_in(path.name)
    is_keras = any(k.endswith("/kernel") and not k.startswith("params/") for k in tensors)
    if name and is_keras and f"{name}_keras" in zoo.list_models():
        return f"{name}_keras"
    if name:
        return name
    if (path.parent / "config.json").is_file():
        raise UsageError(
            f"{str(path)!r} does not say which model it is for, and the config.json beside it may: "
            f"give the folder, {str(path.parent)!r}, or `architecture`."
        )
    fits = recognise.fitting(tensors)
    example = fits[0] if fits else zoo.list_models()[0]
    known = f" But {recognise.same_shapes(fits)}." if fits else ""
    raise UsageError(
        f"{str(path)!r} does not say which model it is for; give `architecture`, as in "
        f"{example!r}: `zoo convert {path.name} --model {example} --out DIRECTORY` makes a "
        f"checkpoint of it that needs no more said.{known}"
    )


def _preprocess(
    architecture: str, row: identify.Found | None, like: Card | None
) -> tuple[Preprocess, str, str | None]:
    """How images are prepared, what says so, and what must be said where that may be wrong."""
    if like is not None:
        return like.preprocess, f"like {like.name}, as was asked", None
    if row is not None:
        doubt = None if row.certain else f"it is taken for {row.card.name} by {row.by}"
        return row.card.preprocess, f"of {row.card.name}, by {row.by}", doubt
    usual = identify.usual(architecture)
    if usual is None:
        doubt = f"no weights of {architecture} are published to say how it sees images"
        return _default(architecture), "what is usual: nothing is known of this file", doubt
    others = f"; other means and spreads have {', '.join(usual.others)}" if usual.others else ""
    doubt = f"published weights of {architecture} see images like {usual.example} mostly{others}"
    return usual.preprocess, f"like {usual.example}, as most weights of {architecture}", doubt


_DOUBT = (
    "%s: %s. So the preprocessing is %s; if the file is of another, `preprocess_like` (of `zoo "
    "convert`, `--preprocess-like`) names published weights that have it."
)


def _default(architecture: str) -> Preprocess:
    """The catalogue's size, and what most weights of the field expect."""
    info = zoo.model_info(architecture)
    if info.image_size is not None:
        return Preprocess(image_size=info.image_size)
    if len(info.input_shape) != 2:
        raise UsageError(
            f"{architecture} reads neither images nor sequences, so that nothing can prepare its "
            "input; build it with `zoo.create_model` and use `checkpoints.import_weights`."
        )
    length, channels = info.input_shape
    return SequencePreprocess(length=length, mean=(0.0,) * channels, std=(1.0,) * channels)


def _fitted(
    preprocess: Preprocess, architecture: str, overrides: Mapping[str, Any], channels: int
) -> Preprocess:
    """For the size that the model is built for, and the channels that the file is of."""
    model = zoo.create_model(architecture, **overrides)
    size = getattr(model, "image_size", preprocess.image_size)
    sized = replace(preprocess, image_size=size if isinstance(size, int) else min(size))
    return sized if channels == sized.channels else sized.with_channels(channels)
