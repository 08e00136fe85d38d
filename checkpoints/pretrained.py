"""One call from a name or a directory to a model with its weights."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key

import zoo
from checkpoints import build, origins, surgery
from checkpoints.card import Card
from checkpoints.preprocess import Preprocess
from zoo.errors import UsageError

_SHOWN = 10  # leaves that a warning names


class Pretrained(NamedTuple):
    """A model with everything that belongs to it.

    Attributes:
        model: the architecture.
        variables: its weights, `{"params": ..., "batch_stats": ...}`.
        preprocess: how an image becomes the model's input.
        card: source, licence, classes and figures of the weights.
        fresh: paths of the leaves that are newly initialised, such as `params/head/kernel`.
    """

    model: nn.Module
    variables: dict[str, Any]
    preprocess: Preprocess
    card: Card
    fresh: tuple[str, ...]


def load(
    name_or_path: str | os.PathLike[str],
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
    in_channels: int | None = None,
    architecture: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    source: str | None = None,
    preprocess_like: str | None = None,
    step: int | Literal["best"] | None = None,
    dtype: DTypeLike | None = None,
    key: Key[Array, ""] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    sharding: Any = None,
) -> Pretrained:
    """Loads released weights, a checkpoint, a run, a file of another library, or a hub model.

    >>> loaded = checkpoints.load("resnet50.a1_in1k", num_classes=37)
    >>> loaded.fresh
    ('params/head/bias', 'params/head/kernel')
    >>> checkpoints.load("resnet34-b627a593.pth", in_channels=1).model.num_classes
    1000

    Args:
        name_or_path: a name of `list_weights()`; a checkpoint or run directory, or an address such
            as `gs://...` of one; a file (safetensors, torch, npz, Keras); `hf-hub:owner/name`, with
            `@revision` if wanted, which may be written `hf://owner/name` or, where no folder is
            called like the owner, `owner/name`; or such a repository that was downloaded. `RUN@120`
            and `RUN@best` say the step of a run. A name comes first, so write `./name` for a
            directory that is called like one.
        num_classes: outputs of the head. Another number than the weights have gives a fresh head
            and drops class names and metrics; None keeps what the weights have.
        class_names: the classes wanted, one name each. Others than those of the weights give a
            fresh head; names that the weights do not state are taken to be the same ones, if
            their number is.
        image_size: side of the input in pixels. Tables of positions are interpolated for it;
            other models take any size, and only their preprocessing changes.
        in_channels: channels of the input, for which the first convolution is adapted: summed for
            one, repeated and scaled for more.
        architecture: what a file is for, a name in `zoo.list_models()`; None for the one in the
            file's name.
        overrides: fields in which a file's model differs from the catalogue's.
        source: library whose tensor names a file uses, as in `"torchvision"`; None to find out.
        preprocess_like: of a file, the name of the published weights that see images as these do;
            None for what the catalogue knows of the file by its hash, else by its name or its
            architecture, which is said in a warning of the log.
        step: of a run, the step whose checkpoint is meant; "best" for the one with the highest
            top-1 of those that were evaluated when they were saved; None for the newest.
        dtype: dtype of the computation; parameters keep theirs.
        key: random key of a fresh head; None means `jax.random.key(0)`.
        cache_dir: where downloads and converted weights are kept, so that the second load needs
            neither network nor source file; None means
            `$XDG_CACHE_HOME/jax-functional-zoo/weights`, below `~/.cache` if that is not set.
        sharding: where the variables go, as `jax.device_put` takes it: one sharding or device for
            all, or a tree of them; None for the default device.

    Raises:
        UsageError: unknown name, a directory that is no intact checkpoint of the model, a file
            that does not fit, or a source that cannot be reached.
    """
    _check_classes(num_classes, class_names)
    file_options = {"architecture": architecture, "overrides": overrides, "source": source}
    file_options |= {"preprocess_like": preprocess_like}
    card, variables = origins.read(name_or_path, step, file_options, _cache(cache_dir))
    _warn_unless_finite(card.name, variables)
    card = replace(card, parameters=surgery.count(variables["params"]))
    wanted = _resized(card, image_size, in_channels)
    new_head = _wants_another_head(card, num_classes, class_names)
    if new_head:
        classes = len(class_names) if class_names is not None else num_classes
        wanted = _changed(wanted, num_classes=classes, class_names=None)
    variables, fresh = _adapted(card, variables, wanted, new_head, key)
    if class_names is not None:
        wanted = replace(wanted, class_names=tuple(class_names))
    if sharding is not None:
        variables = jax.device_put(variables, sharding)
    wanted = replace(wanted, parameters=surgery.count(variables["params"]))
    return Pretrained(
        build.create_model(wanted, dtype), variables, wanted.preprocess, wanted, fresh
    )


def _warn_unless_finite(name: str, variables: Mapping[str, Any]) -> None:
    """Names the leaves that hold infinities or NaN."""
    wrong = [
        path for path, leaf in surgery.flatten(variables).items() if not np.isfinite(leaf).all()
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        warnings.warn(
            f"{name} holds NaN or infinities, so that its answers may be none: "
            f"{', '.join(wrong[:_SHOWN])}{more}.",
            stacklevel=3,
        )


def _resized(card: Card, image_size: int | None, in_channels: int | None) -> Card:
    """The card of the same weights for images of another size or number of channels."""
    if in_channels is not None and in_channels < 1:
        raise UsageError(f"`in_channels` must be at least 1, got {in_channels}.")
    preprocess, overrides = card.preprocess, card.overrides
    if image_size is not None and image_size != preprocess.image_size:
        preprocess = replace(preprocess, image_size=image_size)
        if hasattr(build.create_model(card), "image_size"):
            overrides = {**overrides, "image_size": image_size}
    if in_channels is not None and in_channels != preprocess.channels:
        preprocess = preprocess.with_channels(in_channels)
    if preprocess == card.preprocess:
        return card
    return _changed(card, preprocess=preprocess, overrides=overrides)


def _changed(card: Card, **fields: Any) -> Card:
    """The card of another network than the one whose figures and answers are known."""
    return replace(card, **fields, metrics={}, fingerprint=None, stored_as=None)


def _adapted(
    card: Card, variables: dict[str, Any], wanted: Card, new_head: bool, key: Key[Array, ""] | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The variables in the shapes of the wanted card's model, and the paths of fresh leaves."""
    if wanted == card:
        return variables, ()
    model = build.create_model(wanted)
    template = build.abstract_variables(model, wanted)
    if new_head:
        key = jax.random.key(0) if key is None else key
        template = _with_fresh_heads(model, template, key, build.images(wanted, model))
    return surgery.adapt(variables, template)


def _with_fresh_heads(
    model: nn.Module, template: dict[str, Any], key: Key[Array, ""], images: Any
) -> dict[str, Any]:
    """Shapes, with arrays in the place of every classifier, auxiliary ones included."""
    heads = {path.rpartition("/")[0] for path in surgery.flatten(template) if "/head/" in path}
    for head in sorted(heads):
        drawn = zoo.init_variables(model, key, images, below=head)
        template = jax.tree.map(_drawn_or, template, drawn)
    return template


def _drawn_or(leaf: Any, drawn: Any) -> Any:
    return drawn if isinstance(leaf, jax.ShapeDtypeStruct) else leaf


def _check_classes(num_classes: int | None, class_names: Sequence[str] | None) -> None:
    if num_classes is not None and num_classes < 1:
        raise UsageError(f"`num_classes` must be at least 1, got {num_classes}.")
    if class_names is not None and num_classes not in (None, len(class_names)):
        raise UsageError(
            f"`num_classes` is {num_classes}, but there are {len(class_names)} `class_names`; "
            "give one of the two."
        )


def _wants_another_head(
    card: Card, num_classes: int | None, class_names: Sequence[str] | None
) -> bool:
    if class_names is None:
        return num_classes not in (None, card.num_classes)
    if card.class_names is None:
        return len(class_names) != card.num_classes
    return tuple(class_names) != card.class_names


def _cache(cache_dir: str | os.PathLike[str] | None) -> Path:
    if cache_dir is not None:
        return Path(cache_dir)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jax-functional-zoo" / "weights"
