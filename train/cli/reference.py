"""The reference libraries, run on our weights in the same process."""

import importlib
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

import checkpoints
from checkpoints import installation
from checkpoints.convert import constructor_options
from zoo.errors import UsageError

# Arguments of a library's constructor by our overrides; other overrides it cannot build.
_ARGUMENTS = {"timm": {"image_size": "img_size"}, "torchvision": {}}


def check(library: str) -> None:
    """Refuses a library that is not known or not installed, before anything is loaded.

    Raises:
        UsageError: as said.
    """
    if library not in _ARGUMENTS:
        raise UsageError(f"`--against` must be one of {', '.join(_ARGUMENTS)}, got {library!r}")
    _import(library)


def outputs(
    library: str, loaded: checkpoints.Pretrained, images: Float32[np.ndarray, "b h w c"]
) -> tuple[str, Float[np.ndarray, "b out"]]:
    """Name and version of a library, and what its network gives, computed in float64.

    Raises:
        UsageError: the library has no such network.
    """
    module, torch = _import(library), importlib.import_module("torch")
    network = _build(library, module, loaded)
    tensors = checkpoints.export_weights(loaded.model, loaded.variables, library)
    network.load_state_dict({n: torch.from_numpy(t) for n, t in tensors.items()}, strict=True)
    network.eval().double()
    with torch.inference_mode():
        found = network(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64)))
    return f"{library} {module.__version__}", found.numpy()


def _build(library: str, module: Any, loaded: checkpoints.Pretrained) -> Any:
    card, arguments = loaded.card, _ARGUMENTS[library]
    if unknown := [name for name in card.overrides if name not in arguments]:
        raise UsageError(f"{library} cannot build {card.architecture} with `{unknown[0]}`")
    options = {arguments[name]: value for name, value in card.overrides.items()}
    if library == "timm" and module.is_model(card.architecture):
        channels = card.preprocess.channels
        return module.create_model(
            card.architecture, num_classes=card.num_classes or 0, in_chans=channels, **options
        )
    if library == "torchvision" and card.architecture in module.models.list_models():
        options |= constructor_options(loaded.model, library)
        return module.models.get_model(card.architecture, num_classes=card.num_classes, **options)
    raise UsageError(f"{library} has no {card.architecture}; only its fingerprint can be compared")


def _import(library: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise UsageError(
            f"`--against {library}` needs {library}, which is not installed: "
            f"{installation.command('reference')}"
        ) from error
