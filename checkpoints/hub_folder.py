"""A folder that is a repository of the Hugging Face hub: what `push` uploads and `load` reads.

* `model.safetensors`: in timm's names where timm can build the network, else under our own paths;
* `config.json`: as timm writes it, so that timm builds the same network and sees images alike; its
  entry `jax_functional_zoo` is our card, which has what timm's words do not say;
* `README.md`: the card in words, see `checkpoints.hub_card`.
"""

import dataclasses
import functools
import importlib.resources
import json
from pathlib import Path
from typing import Any

import flax.linen as nn

from checkpoints import convert, hub_card, timm_hub
from checkpoints.card import Card
from checkpoints.convert import own
from checkpoints.pretrained import Pretrained
from zoo.errors import UsageError

README = "README.md"
_TIMM = "timm"
_ONLY_TRAINING = ("drop_path", "drop_rate", "aux_drop_rate")  # fields that answers do not depend on


def write(loaded: Pretrained, folder: Path, repo: str) -> tuple[Path, ...]:
    """Writes the three files of a repository, over those of an earlier call.

    Args:
        loaded: the weights, as `checkpoints.load` gives them.
        folder: made if it is not there; other files in it are left alone.
        repo: `owner/name`, which the README calls it by.

    Raises:
        UsageError: the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    card = dataclasses.replace(loaded.card, format=names_of(loaded.card))
    tensors = convert.export_weights(loaded.model, loaded.variables, str(card.format))
    config = configuration(card, loaded.model)
    weights, *texts = (folder / name for name in (timm_hub.FILES[0], timm_hub.CONFIG, README))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, weights, metadata={"format": "pt"})  # what PyTorch's libraries ask for
        for path, text in zip(texts, (as_text(config), hub_card.text(card, repo)), strict=True):
            path.write_text(text, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"`{folder}` could not be written: {reason}.") from error
    return (weights, *texts)


def names_of(card: Card) -> str:
    """Whose names the tensors get: timm's if it can build the network of a card, else ours."""
    fields = {*card.overrides} - {*_ONLY_TRAINING, *timm_hub.OURS.values()}
    is_timms = not (fields or card.widths or card.intercepted)
    return _TIMM if is_timms and card.architecture in timm_models() else own.NAME


def configuration(card: Card, model: nn.Module) -> dict[str, Any]:
    """The values of `config.json`, which `timm_hub.described` reads back as the card."""
    ours = {timm_hub.CARD: dataclasses.asdict(card)}
    names = {} if card.class_names is None else {"label_names": list(card.class_names)}
    config = {"architecture": card.architecture, "num_classes": card.num_classes or 0, **names}
    if card.format != _TIMM:
        return config | ours
    pool = {"global_pool": convert.pooling(model)}
    return config | pool | {"pretrained_cfg": _pretrained_cfg(card, model)} | ours


def as_text(config: dict[str, Any]) -> str:
    """The file of a configuration."""
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _pretrained_cfg(card: Card, model: nn.Module) -> dict[str, Any]:
    """How the images are made, and where the layers are that depend on channels and classes."""
    see, side = card.preprocess, card.preprocess.image_size
    first, classifier = convert.ends(model, _TIMM)
    return {
        "input_size": [see.channels, side, side],
        "fixed_input_size": hasattr(model, "image_size"),
        "interpolation": see.interpolation,
        "crop_pct": see.crop_pct,
        "crop_mode": see.crop_mode,
        "mean": list(see.mean),
        "std": list(see.std),
        "num_classes": card.num_classes or 0,
        "first_conv": first,
        "classifier": classifier,
        **({} if card.license is None else {"license": card.license}),
    }


@functools.cache
def timm_models() -> frozenset[str]:
    """Names of the catalogue that timm has too; `python -m scripts.released` writes the list."""
    file = importlib.resources.files("checkpoints").joinpath("timm_models.txt")
    return frozenset(file.read_text(encoding="utf-8").split())
