"""Models that people published on the Hugging Face hub in timm's form.

A repository holds `config.json`, which names the architecture and the preprocessing, and
`model.safetensors` or `pytorch_model.bin`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import zoo
from checkpoints import hub
from checkpoints.card import Card
from checkpoints.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from zoo.errors import UsageError

PREFIX = "hf-hub:"
FILES = ("model.safetensors", "pytorch_model.bin")
_OURS = {"img_size": "image_size"}  # arguments of timm's constructors, by our names
_MOST_CLASSES = 1_000_000
_KNOWN = ("num_classes", "in_chans", "global_pool")


def card(identifier: str) -> Card:
    """The card of `hf-hub:owner/name`, or of `hf-hub:owner/name@revision`.

    Raises:
        UsageError: no such repository, it cannot be reached, or it holds no model of the zoo.
    """
    repo, _, revision = identifier.removeprefix(PREFIX).partition("@")
    path, _ = hub.fetch(repo, "config.json", revision or None)
    try:
        described = _described(json.loads(path.read_text(encoding="utf-8")))
    except UsageError:
        raise
    except Exception as error:  # whatever people write there
        raise UsageError(
            f"config.json of {repo} is not that of a timm model: {error!r}."
        ) from error
    source = {"kind": "hub", "repo": repo, "revision": revision or None}
    return replace(
        described,
        name=identifier.removeprefix(PREFIX),
        source=source | _file(repo, revision or None),
    )


def _described(config: Mapping[str, Any]) -> Card:
    """The card that a configuration gives, without name and source."""
    details = {**config, **config.get("pretrained_cfg", {})}
    architecture, arguments = str(config["architecture"]), dict(config.get("model_args") or {})
    overrides = _overrides(architecture, arguments)
    zoo.create_model(architecture, **overrides)  # says what is wrong with them
    classes = config.get("num_classes", details.get("num_classes")) or None
    if classes is not None and not (type(classes) is int and 0 < classes <= _MOST_CLASSES):
        raise ValueError(f"num_classes is {classes!r}")
    return Card(
        name=architecture,
        architecture=architecture,
        overrides=overrides,
        num_classes=classes,
        class_names=_class_names(config, details),
        preprocess=_preprocess(details, arguments.get("in_chans")),
        format="timm",
        license=details.get("license"),
    )


def _overrides(architecture: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := [name for name in arguments if name not in (*_OURS, *_KNOWN)]:
        raise UsageError(
            f"the model was built as {architecture}({unknown[0]}={arguments[unknown[0]]!r}), which "
            "this zoo does not translate; build it with `zoo.create_model` and use "
            "`checkpoints.import_weights`."
        )
    return {_OURS[name]: value for name, value in arguments.items() if name in _OURS}


def _preprocess(details: Mapping[str, Any], in_channels: int | None) -> Preprocess:
    channels, height, _ = details.get("input_size") or (3, 224, 224)
    channels = in_channels or channels
    found = Preprocess(
        image_size=height,
        crop_pct=float(details.get("crop_pct") or 0.875),
        interpolation=details.get("interpolation") or "bicubic",
        mean=tuple(details.get("mean") or IMAGENET_MEAN),
        std=tuple(details.get("std") or IMAGENET_STD),
    )
    return found if channels == found.channels else found.with_channels(channels)


def _class_names(config: Mapping[str, Any], details: Mapping[str, Any]) -> tuple[str, ...] | None:
    names = config.get("label_names") or details.get("label_names")
    return tuple(names) if names and len(names) == config.get("num_classes") else None


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
