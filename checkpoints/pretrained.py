"""One call from a name or a directory to a model with its weights."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Key

import zoo
from checkpoints import (
    download,
    hub,
    local,
    paths,
    readers,
    released,
    store,
    surgery,
    timm_hub,
)
from checkpoints.card import Card, current_versions
from checkpoints.convert import import_weights
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
            as `gs://...` of one; a file (safetensors, torch, npz, Keras); or `hf-hub:owner/name`,
            with `@revision` if wanted. `RUN@120` and `RUN@best` say the step of a run. A name comes
            first, so write `./name` for a directory that is called like one.
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
    card, variables = _stored(name_or_path, file_options, step, _cache(cache_dir))
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
    return Pretrained(create_model(wanted, dtype), variables, wanted.preprocess, wanted, fresh)


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


def local_directory(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The checkpoint directory on this machine that `load` would read; None if it reads another."""
    name, step = _with_step(name_or_path, None)
    if isinstance(name_or_path, str) and name in released.list_weights():
        return released.shipped_directory(name)
    if name.startswith(timm_hub.PREFIX) or paths.is_remote(name):
        return None
    directory = paths.path(name)
    return _of_run(directory, step) if directory.is_dir() else None


def _stored(
    name_or_path: str | os.PathLike[str],
    file_options: Mapping[str, Any],
    step: int | Literal["best"] | None,
    cache: Path,
) -> tuple[Card, dict[str, Any]]:
    """Card and variables as they are stored, wherever that is."""
    name, step = _with_step(name_or_path, step)
    is_name = isinstance(name_or_path, str) and name in released.list_weights()
    shipped = released.shipped_directory(name) if is_name else None
    if is_name and shipped is None:
        return _published(released.weights_info(name), cache)
    if not is_name and name.startswith(timm_hub.PREFIX):
        return _published(timm_hub.card(name), cache)
    place = paths.path(name)
    if not is_name and not paths.is_remote(name) and place.is_file():
        card, tensors = local.load_file(place, **file_options)
        return card, _on_device(tensors, abstract_variables(create_model(card), card))
    if any(value is not None for value in file_options.values()):
        given = next(name for name, value in file_options.items() if value is not None)
        raise UsageError(f"`{given}` is for files of other libraries; {name!r} has a card.")
    if shipped is not None:
        return _checkpoint(shipped)
    if not _is_path(name_or_path):
        return _published(released.weights_info(name), cache)  # says what is wrong with the name
    return _checkpoint(_of_run(place, step))


def _with_step(
    name_or_path: str | os.PathLike[str], step: int | Literal["best"] | None
) -> tuple[str, int | Literal["best"] | None]:
    """Takes `RUN@120` and `RUN@best` apart."""
    name = os.fspath(name_or_path)
    run, _, wanted = name.rpartition("@")
    is_step = wanted == "best" or wanted.isdecimal()
    if step is not None or not run or not is_step or paths.path(name).exists():
        return name, step
    if not store.steps(run):
        return name, step
    return run, "best" if wanted == "best" else int(wanted)


def _checkpoint(directory: Path | Any) -> tuple[Card, dict[str, Any]]:
    card = store.read_card(directory)
    return card, store.restore(directory, abstract_variables(create_model(card), card))


def _of_run(path: Path | Any, step: int | Literal["best"] | None) -> Path | Any:
    """The checkpoint of a step of a run, its best or its newest; the path itself if it is none."""
    steps = dict(store.steps(path))
    if not steps:
        if step is not None:
            raise UsageError(f"`step` is for runs, and {str(path)!r} is none.")
        return path
    if step is None:
        found, wanted = store.latest(path), "complete checkpoint"
    elif step == "best":
        found, wanted = store.best(path), "checkpoint that was evaluated when it was saved"
    else:
        held = ", ".join(map(str, steps))
        found, wanted = steps.get(step), f"checkpoint of step {step}; it has {held}"
    if found is None:
        trouble = _trouble(steps[max(steps)]) if step is None else ""
        raise UsageError(f"The run {str(path)!r} has no {wanted}.{trouble}")
    return found


def _trouble(checkpoint: Path | Any) -> str:
    """What is wrong with a checkpoint, as the end of a message."""
    try:
        store.verify(checkpoint)
    except UsageError as error:
        return f" {error}"
    return ""


def _is_path(name_or_path: str | os.PathLike[str]) -> bool:
    path = paths.path(_with_step(name_or_path, None)[0])
    is_there = path.is_dir() or store.is_checkpoint(path)
    return is_there or len(path.parts) > 1 or not isinstance(name_or_path, str)


def _published(card: Card, cache: Path) -> tuple[Card, dict[str, Any]]:
    """Card and variables of published weights: converted once, then from the cache."""
    source = card.source or {}
    if source.get("kind") == "manual":
        raise UsageError(
            f"{card.name} cannot be downloaded by a program. {source['how']} Then use "
            f"`checkpoints.load(path, architecture={card.architecture!r})`."
        )
    model = create_model(card)
    abstract = abstract_variables(model, card)
    kept = cache / _file_name(card.name)
    try:
        earlier = store.read_card(kept)
        if _is_of(source, earlier.source or {}):
            found = replace(card, source=earlier.source, versions=earlier.versions)
            return found, store.restore(kept, abstract)
    except UsageError:  # not there yet, damaged, or of an earlier version of the architecture
        pass
    path, seen = _fetched(source, cache)
    tensors = import_weights(model, readers.read(path), source=card.format or "timm")
    variables = _on_device(tensors, abstract)
    card = replace(card, source={**source, **seen}, versions=current_versions())
    try:
        store.save(kept, variables, card)
    except UsageError as error:
        warnings.warn(f"{card.name} will be converted again next time. {error}", stacklevel=4)
    return card, variables


def _is_of(source: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Whether weights that were fetched once are those that the source means now."""
    same_content = source.get("sha256") in (None, seen.get("sha256"))
    revision = source.get("revision")
    return same_content and revision in (None, seen.get("revision"), seen.get("commit"))


def _file_name(name: str) -> str:
    """A name for a directory of the cache, whatever a hub or a user calls a revision."""
    return re.sub(r"[^\w.@-]", "--", name).lstrip(".")


def _fetched(source: Mapping[str, Any], cache: Path) -> tuple[Path, dict[str, str]]:
    """The file of a source, and what was seen of it."""
    if "url" in source:
        path, sha256 = download.fetch_url(
            source["url"], cache / "downloads", source.get("sha256"), source.get("md5")
        )
        return path, {"sha256": sha256}
    path, sha256 = hub.fetch(
        source["repo"], source["file"], source.get("revision"), source.get("sha256")
    )
    commit = hub.commit_of(path)
    return path, {"sha256": sha256} | ({"commit": commit} if commit else {})


def _on_device(tensors: Mapping[str, Any], abstract: Mapping[str, Any]) -> dict[str, Any]:
    """NumPy arrays, which may be views of a file's, as JAX arrays of the model's dtypes."""
    if lines := surgery.diff(_shapes(abstract), _shapes(tensors)):
        raise UsageError(
            "The tensors are not of the shapes that the images they were made for need:\n  "
            + "\n  ".join(lines)
        )
    arrays = jax.tree.map(lambda leaf, like: np.array(leaf, like.dtype), tensors, dict(abstract))
    return jax.device_put(arrays)


def _shapes(tree: Mapping[str, Any]) -> dict[str, str]:
    return {path: str(leaf.shape) for path, leaf in surgery.flatten(dict(tree)).items()}


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
        if hasattr(create_model(card), "image_size"):
            overrides = {**overrides, "image_size": image_size}
    if in_channels is not None and in_channels != preprocess.channels:
        preprocess = preprocess.with_channels(in_channels)
    if preprocess == card.preprocess:
        return card
    return _changed(card, preprocess=preprocess, overrides=overrides)


def _changed(card: Card, **fields: Any) -> Card:
    """The card of another network than the one whose figures and answers are known."""
    return replace(card, **fields, metrics={}, fingerprint=None)


def _adapted(
    card: Card, variables: dict[str, Any], wanted: Card, new_head: bool, key: Key[Array, ""] | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The variables in the shapes of the wanted card's model, and the paths of fresh leaves."""
    if wanted == card:
        return variables, ()
    template = abstract_variables(create_model(wanted), wanted)
    if new_head:
        key = jax.random.key(0) if key is None else key
        template = _with_fresh_heads(create_model(wanted), template, key, _images(wanted))
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


def _images(card: Card) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *card.preprocess.shape), jnp.float32)


def _cache(cache_dir: str | os.PathLike[str] | None) -> Path:
    if cache_dir is not None:
        return Path(cache_dir)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jax-functional-zoo" / "weights"
