"""Models that people published on the Hugging Face hub in timm's form.

A repository holds `config.json`, which names the architecture and the preprocessing, and
`model.safetensors` or `pytorch_model.bin`. Of the configuration, everything that decides what the
network computes or how it sees images is honoured or refused:

* `architecture`, `model_args`, `num_classes`, `global_pool`, `label_names`;
* `input_size`, `fixed_input_size`, `interpolation`, `crop_pct`, `crop_mode`, `mean`, `std`.

What describes the file (`first_conv`, `classifier`, `pool_size`, `num_features`) is left to the
names and shapes of the tensors, which must be the network's. `test_input_size` and `test_crop_pct`
are for a second measurement and not used.

What `push` wrote has a card of ours too, which knows more; what both say must agree.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo
from checkpoints import convert, hub
from checkpoints.card import Card
from checkpoints.preprocess import CROP_MODES, IMAGENET_MEAN, IMAGENET_STD, Preprocess
from zoo.errors import UsageError, shown
from zoo.fields import is_deep, misfit

CONFIG = "config.json"
FILES = ("model.safetensors", "pytorch_model.bin")
CARD = "jax_functional_zoo"  # entry of a configuration that is a card of ours
OURS = {"img_size": "image_size"}  # our fields, by the arguments of timm's constructors
_KNOWN = ("num_classes", "in_chans", "global_pool")
_MEANS = ("avg", "fast", "fastavg")  # timm's names of the mean over a map
_LARGEST = 8 << 20  # bytes of a configuration; the names of 21,000 classes take half a million
_MOST_CLASSES = 1_000_000

_ALSO_TIMMS = ("architecture", "num_classes", "class_names", "preprocess")  # fields of a card

_TYPES = {  # of what is read; everything may also be missing or null
    "architecture": str,
    "model_args": dict[str, Any],
    "pretrained_cfg": dict[str, Any],
    "num_classes": int,
    "label_names": list[str],
    "global_pool": str,
    "input_size": tuple[int, int, int],
    "fixed_input_size": bool,
    "interpolation": str,
    "crop_pct": float,
    "crop_mode": str,
    "mean": float | list[float],
    "std": float | list[float],
    "license": str,
    "in_chans": int,
    "img_size": int | tuple[int, int],
}


def card(repo: str) -> Card:
    """The card of `owner/name`, or of `owner/name@revision`.

    Raises:
        UsageError: no such repository, it cannot be reached, or it holds no model of the zoo.
    """
    name, _, revision = repo.partition("@")
    path, _ = hub.fetch(name, CONFIG, revision or None)
    found = described(path, f"{CONFIG} of {name}")
    source = {"kind": "hub", "repo": name, "revision": revision or None}
    return replace(found, name=repo, source=source | _file(name, revision or None))


def described(path: Path, what: str | None = None) -> Card:
    """The card that a configuration gives, without name and source.

    Args:
        path: the configuration.
        what: how a message calls it; None for its path.

    Raises:
        UsageError: it is none, or of a model that the zoo does not have.
    """
    what = what or str(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST:,} bytes")
        config = json.loads(path.read_text(encoding="utf-8"))
        if is_deep(config):
            raise ValueError("it is nested too deeply")
        return _ours(config) if isinstance(config, dict) and CARD in config else _described(config)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    except Exception as error:  # whatever people write there
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")[:200]
        raise UsageError(f"{what} is not that of a timm model: {reason}.") from error


def _ours(config: dict[str, Any]) -> Card:
    """The card that a configuration carries, if it is of the network that the rest describes."""
    card = Card.from_dict(config[CARD])
    if card.format == "timm":
        found = _described(config)
        stated = {name: getattr(found, name) for name in _ALSO_TIMMS}
    else:
        stated = {name: config.get(name) or None for name in ("architecture", "num_classes")}
    for name, value in stated.items():
        if value != (ours := getattr(card, name)):
            raise UsageError(
                f"`{name}` is {shown(value)} and in `{CARD}` {shown(ours)}; which is it?"
            )
    return card


def _described(config: Any) -> Card:
    if not isinstance(config, dict):
        raise ValueError(f"it is {shown(config)} and no object")
    if "architecture" not in config:
        library = config.get("model_type") or config.get("architectures")
        other = f"; it is of another library's {shown(library)}" if library else ""
        raise ValueError(f"it names no `architecture`{other}")
    config = _checked(config)
    details = {**config, **_checked(config.get("pretrained_cfg", {}))}
    arguments = _checked(config.get("model_args", {}))
    architecture, classes = config["architecture"], _classes(config, details, arguments)
    overrides = _overrides(architecture, arguments, details)
    model = zoo.create_model(architecture, **overrides)
    _check_pool(model, {**details, **arguments}.get("global_pool"))
    return Card(
        name=architecture,
        architecture=architecture,
        overrides=overrides,
        num_classes=classes,
        class_names=_class_names(config.get("label_names", details.get("label_names")), classes),
        preprocess=_preprocess(details, arguments, model),
        format="timm",
        license=details.get("license"),
    )


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are there, if they are of the types that timm writes."""
    for name, value in values.items():
        if name in _TYPES and value is not None and (wrong := misfit(value, _TYPES[name])):
            raise UsageError(f"`{name}` must be {wrong}, got {shown(value)}")
    return {name: value for name, value in values.items() if value is not None}


def _classes(
    config: Mapping[str, Any], details: Mapping[str, Any], arguments: Mapping[str, Any]
) -> int | None:
    """Outputs of the head: of the arguments, else of the configuration; 0 is no head."""
    stated = {c["num_classes"] for c in (arguments, config) if "num_classes" in c}
    if len(stated) > 1:
        raise UsageError(f"`num_classes` is {' and '.join(map(str, sorted(stated)))}; which is it?")
    classes = stated.pop() if stated else details.get("num_classes")
    if classes is not None and not 0 <= classes <= _MOST_CLASSES:
        raise UsageError(f"`num_classes` must be from 0 to {_MOST_CLASSES:,}, got {shown(classes)}")
    return classes or None


def _overrides(
    architecture: str, arguments: Mapping[str, Any], details: Mapping[str, Any]
) -> dict[str, Any]:
    """Fields of our model; the side of the images where it is built for one."""
    if unknown := [name for name in arguments if name not in (*OURS, *_KNOWN)]:
        raise UsageError(
            f"the model was built as {architecture}({shown(unknown[0])[1:-1]}="
            f"{shown(arguments[unknown[0]])}), which this zoo does not translate; build it with "
            "`zoo.create_model` and use `checkpoints.import_weights`."
        )
    fields = {OURS[name]: value for name, value in arguments.items() if name in OURS}
    if details.get("fixed_input_size") and hasattr(zoo.create_model(architecture), "image_size"):
        fields.setdefault("image_size", _input_size(details)[1:])
    if isinstance(size := fields.get("image_size"), list | tuple):
        fields["image_size"] = _side("img_size", size)
    return fields


def _input_size(details: Mapping[str, Any]) -> Sequence[int]:
    """Channels, height and width."""
    return details.get("input_size", (3, 224, 224))


def _side(name: str, sides: Any) -> int:
    """The one length of both sides."""
    height, width = sides
    if height != width:
        raise UsageError(
            f"`{name}` is {height}x{width}, and only square images are prepared; build the model "
            "with `zoo.create_model` and use `checkpoints.import_weights`"
        )
    return height


def _check_pool(model: Any, pool: str | None) -> None:
    """Refuses another pooling before the head than the network has."""
    ours = convert.pooling(model)
    if pool is not None and pool != ours and not (pool in _MEANS and ours in _MEANS):
        raise UsageError(
            f"`global_pool` is {shown(pool)}, and the zoo's network pools with {ours!r}: its "
            "answers would be others"
        )


def _preprocess(details: Mapping[str, Any], arguments: Mapping[str, Any], model: Any) -> Preprocess:
    channels, *sides = _input_size(details)
    channels, size = arguments.get("in_chans", channels), _side("input_size", sides)
    if getattr(model, "image_size", size) != size:
        raise UsageError(f"`input_size` is {size} and the model is built for {model.image_size}")
    if (mode := details.get("crop_mode", "center")) not in CROP_MODES:
        raise UsageError(
            f"`crop_mode` must be {' or '.join(CROP_MODES)}, got {shown(mode)}: images would be "
            "seen otherwise than in training; give the file itself with `architecture` and "
            "prepare images yourself"
        )
    return Preprocess(
        image_size=size,
        crop_pct=float(details.get("crop_pct", 0.875)),
        interpolation=details.get("interpolation", "bicubic"),
        mean=_per_channel("mean", details.get("mean", IMAGENET_MEAN), channels),
        std=_per_channel("std", details.get("std", IMAGENET_STD), channels),
        crop_mode=mode,
    )


def _per_channel(name: str, values: Any, channels: int) -> tuple[float, ...]:
    """One value for each channel; RGB's three stand for those of any other number."""
    values = tuple(map(float, values if isinstance(values, list | tuple) else (values,)))
    if len(values) == channels:
        return values
    if len(values) not in (1, 3):
        raise UsageError(f"`{name}` has {len(values)} values, and images {channels} channels")
    of_rgb = values if len(values) == 3 else values * 3
    return Preprocess(mean=of_rgb, std=(1.0,) * 3).with_channels(channels).mean


def _class_names(names: Sequence[str] | None, classes: int | None) -> tuple[str, ...] | None:
    if names is not None and len(names) != classes:
        raise UsageError(f"`label_names` has {len(names)} names and the model {classes} classes")
    return None if names is None else tuple(names)


def _file(repo: str, revision: str | None) -> dict[str, str]:
    """Name and hash of the safetensors file, or of the torch file if there is no other."""
    failures = []
    for file in FILES:
        try:
            return {"file": file, "sha256": hub.fetch(repo, file, revision)[1]}
        except UsageError as error:
            if error.__cause__ is None:  # it was fetched, and is damaged
                raise
            failures.append(error)
    raise next((error for error in failures if not hub.is_absent(error)), failures[0])
