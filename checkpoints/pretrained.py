"""One call from a name or a directory to a model with its weights."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

import zoo
from checkpoints import hub, readers, released, store, surgery
from checkpoints.card import Card, current_versions
from checkpoints.convert import import_weights
from checkpoints.preprocess import Preprocess
from zoo.errors import UsageError


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
    dtype: DTypeLike | None = None,
    key: Key[Array, ""] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Pretrained:
    """Loads released weights, a checkpoint, or the newest checkpoint of a run.

    >>> loaded = checkpoints.load("resnet50.a1_in1k", num_classes=37)
    >>> loaded.fresh
    ('params/head/bias', 'params/head/kernel')

    Args:
        name_or_path: a name of `list_weights()`, or a directory; a name comes first, so write
            `./name` for a directory that is called like one.
        num_classes: outputs of the head. Another number than the weights have gives a fresh head
            and drops class names and metrics; None keeps what the weights have.
        class_names: the classes wanted, one name each. Others than those of the weights give a
            fresh head; names that the weights do not state are taken to be the same ones, if
            their number is.
        dtype: dtype of the computation; parameters keep theirs.
        key: random key of a fresh head; None means `jax.random.key(0)`.
        cache_dir: where converted weights are kept, so that the second load needs neither network
            nor source file; None means `$XDG_CACHE_HOME/jax-functional-zoo/weights`, below
            `~/.cache` if the variable is not set.

    Raises:
        UsageError: unknown name, a directory that is no intact checkpoint of the model, or a
            source that cannot be reached.
    """
    _check_classes(num_classes, class_names)
    directory = _directory(name_or_path)
    if directory is None:
        card, variables = _from_hub(released.weights_info(str(name_or_path)), _cache(cache_dir))
    else:
        card = store.read_card(directory)
        variables = store.restore(directory, abstract_variables(create_model(card), card))
    card, fresh = replace(card, parameters=surgery.count(variables["params"])), ()
    if _wants_another_head(card, num_classes, class_names):
        classes = len(class_names) if class_names is not None else num_classes
        card, variables, fresh = _with_new_head(card, variables, classes, key)
    if class_names is not None:
        card = replace(card, class_names=tuple(class_names))
    return Pretrained(create_model(card, dtype), variables, card.preprocess, card, fresh)


def create_model(card: Card, dtype: DTypeLike | None = None) -> nn.Module:
    """The architecture of a card, with its overrides and number of classes."""
    options = {**card.overrides, "num_classes": card.num_classes}
    return zoo.create_model(
        card.architecture, **options | ({} if dtype is None else {"dtype": dtype})
    )


def abstract_variables(model: nn.Module, card: Card) -> dict[str, Any]:
    """Shapes and dtypes of the variables of a card's model."""
    init = partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), _images(card))


def _directory(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The checkpoint that is meant, or None for published weights."""
    name, path = str(name_or_path), Path(name_or_path)
    if isinstance(name_or_path, str) and name in released.list_weights():
        return released.shipped_directory(name)
    if path.is_file():
        raise UsageError(
            f"{name!r} is a file and does not say which model it is for; use "
            f"`checkpoints.import_weights(model, checkpoints.readers.read({name!r}))`."
        )
    if store.steps(path):
        newest = store.latest(path)
        if newest is None:
            raise UsageError(f"The run {name!r} has no complete checkpoint.")
        return newest
    is_path = path.is_dir() or store.is_checkpoint(path) or len(path.parts) > 1
    return path if is_path or not isinstance(name_or_path, str) else None


def _from_hub(card: Card, cache: Path) -> tuple[Card, dict[str, Any]]:
    """Card and variables of published weights: converted once, then from the cache."""
    source = card.source or {}
    model = create_model(card)
    abstract = abstract_variables(model, card)
    kept = cache / "@".join(filter(None, (card.name, source["revision"])))
    try:
        kept_source = store.read_card(kept).source or {}
        if source["sha256"] in (None, kept_source["sha256"]):
            return replace(card, source=kept_source), store.restore(kept, abstract)
    except UsageError:  # not there yet, damaged, or of an earlier version of the architecture
        pass
    path, sha256 = hub.fetch(source["repo"], source["file"], source["revision"], source["sha256"])
    tensors = import_weights(model, readers.read(path), source=card.format or "timm")
    variables = jax.tree.map(lambda leaf, like: jnp.array(leaf, like.dtype), tensors, abstract)
    card = replace(card, source={**source, "sha256": sha256}, versions=current_versions())
    try:
        store.save(kept, variables, card)
    except UsageError as error:
        warnings.warn(f"{card.name} will be converted again next time. {error}", stacklevel=3)
    return card, variables


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


def _with_new_head(
    card: Card, variables: dict[str, Any], num_classes: int | None, key: Key[Array, ""] | None
) -> tuple[Card, dict[str, Any], tuple[str, ...]]:
    card = replace(card, num_classes=num_classes, class_names=None, metrics={})
    key = jax.random.key(0) if key is None else key
    template = zoo.init_variables(create_model(card), key, _images(card), below="params/head")
    variables, fresh = surgery.fresh_head(variables, template)
    return replace(card, parameters=surgery.count(variables["params"])), variables, fresh


def _images(card: Card) -> jax.ShapeDtypeStruct:
    side, channels = card.preprocess.image_size, card.preprocess.channels
    return jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)


def _cache(cache_dir: str | os.PathLike[str] | None) -> Path:
    if cache_dir is not None:
        return Path(cache_dir)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jax-functional-zoo" / "weights"
