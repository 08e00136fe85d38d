"""Keras's HDF5 weights, `layer/kernel` by `layer/kernel`, and its `.keras` files.

Two layouts exist. Files of Keras 1 and 2, among them the published weights of
`keras.applications`, list the names in attributes:

    /            layer_names = [b"conv2d_1", ...]        (or below /model_weights)
    /conv2d_1    weight_names = [b"conv2d_1/kernel:0"]

A `.keras` file is a zip with `config.json`, which names the layers, and `model.weights.h5`, which
counts the layers of each class: `layers/conv2d_1/vars/0`.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints.readers import archive, text
from checkpoints.readers.wrappers import Contents
from zoo.errors import UsageError

_TRIAL = Path(__file__).with_name("hdf5_trial.py")
_REFUSED = 3  # what the trial ends with after a sentence for the user
_PATIENCE, _SPEED = 20.0, 10e6  # seconds for any file, and bytes a second

# Variables of a layer in the order of Keras, with the setting that leaves one out.
VARIABLES = {
    "Conv2D": (("kernel", None), ("bias", "use_bias")),
    "Dense": (("kernel", None), ("bias", "use_bias")),
    "DepthwiseConv2D": (("kernel", None), ("bias", "use_bias")),
    "SeparableConv2D": (
        ("depthwise_kernel", None),
        ("pointwise_kernel", None),
        ("bias", "use_bias"),
    ),
    "BatchNormalization": (
        ("gamma", "scale"),
        ("beta", "center"),
        ("moving_mean", None),
        ("moving_variance", None),
    ),
}


def read_h5(path: Path) -> Contents:
    """The weights of an `.h5` file of Keras 1 or 2.

    Raises:
        UsageError: the file has another layout, or claims more than it can hold.
    """
    with _opened(path, path) as file:
        root = file.get("model_weights", file)
        if not any(name.startswith("layer_names") for name in root.attrs):
            raise UsageError(
                "it has no `layer_names`, so its layers are unknown; write it with "
                "`model.save_weights('x.h5')` of Keras 2 or `model.save('x.keras')` of Keras 3."
            )
        names = [f"{layer}/{name}" for layer, name in _listed(root)]
        sets = {name: _dataset(root, name) for name in names}
        archive.check_size(sum(_size(data) for data in sets.values()), path)
        tensors = {_plain(n): np.asarray(data[()]) for n, data in sets.items()}
    return Contents(tensors, ())


def read_keras(file: zipfile.ZipFile, path: Path) -> Contents:
    """The weights of an open `.keras` file, under the names that its layers have.

    Raises:
        UsageError: a layer of unknown class has weights.
    """
    archive.check_members(file, path)
    config = archive.body(file, file.getinfo("config.json"))
    layers = text.parsed(config, archive.most(path.stat().st_size))["config"]["layers"]
    with tempfile.TemporaryDirectory() as folder:
        body = Path(file.extract("model.weights.h5", folder))
        with _opened(body, path) as weights:
            sets = {name: _dataset(weights, place) for name, place in _named(weights, layers)}
            archive.check_size(sum(_size(data) for data in sets.values()), path)
            return Contents({name: np.asarray(data[()]) for name, data in sets.items()}, ())


def _named(weights: Any, layers: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Names of all weights, with their places."""
    for layer, place in _placed(layers):
        group = f"layers/{place}/vars"
        count = len(weights[group]) if group in weights else 0
        for i, name in enumerate(_variables(layer, count)):
            yield f"{_name(layer)}/{name}", f"{group}/{i}"


@contextmanager
def _opened(path: Path, whole: Path) -> Iterator[Any]:
    """An HDF5 file that another process has read without harm.

    Args:
        path: the file.
        whole: the file in which it came, whose size says how much is believed.

    Raises:
        UsageError: that process refused it, failed, crashed or did not come to an end.
    """
    import h5py

    size = path.stat().st_size
    most = archive.most(whole.stat().st_size)
    command = [sys.executable, "-P", str(_TRIAL), str(path), str(most)]
    limit = _PATIENCE + size / _SPEED
    try:
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise UsageError("the HDF5 library comes to no end with it; it is damaged.") from error
    if found.returncode:
        reason = (found.stderr.strip() or f"signal {-found.returncode}").splitlines()[-1][:300]
        if found.returncode == _REFUSED:
            raise UsageError(reason)
        raise UsageError(f"it is no HDF5 file or is damaged: {reason.rstrip('.')}.")
    with h5py.File(path, "r") as file:
        yield file


def _listed(root: Any) -> Iterator[tuple[str, str]]:
    """Layers with the names of their weights, in the file's order."""
    for layer in _attribute(root, "layer_names"):
        for weight in _attribute(root[layer], "weight_names"):
            yield layer, weight


def _attribute(group: Any, name: str) -> list[str]:
    """A list of names; long ones are kept in pieces, `name0`, `name1`, ..."""
    pieces = (
        [name]
        if name in group.attrs
        else sorted(
            (n for n in group.attrs if re.fullmatch(rf"{name}\d+", n)),
            key=lambda n: int(n[len(name) :]),
        )
    )
    values = [value for piece in pieces for value in np.atleast_1d(group.attrs[piece])]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _dataset(root: Any, name: str) -> Any:
    """An array of numbers."""
    import h5py

    data = root[name]
    if not isinstance(data, h5py.Dataset) or data.dtype.hasobject:
        raise UsageError(f"its part {name!r} holds no numbers.")
    return data


def _size(data: Any) -> int:
    return data.size * data.dtype.itemsize


def _plain(name: str) -> str:
    """`conv2d_1/conv2d_1/kernel:0` without the group and the number of TensorFlow's output."""
    return name.partition("/")[2].removesuffix(":0")


def _placed(layers: list[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Layers with their groups, which count the layers of each class from zero."""
    counts: dict[str, int] = {}
    for layer in layers:
        place = _snake_case(layer["class_name"])
        number = counts[place] = counts.get(place, -1) + 1
        yield layer, f"{place}_{number}" if number else place


def _variables(layer: Mapping[str, Any], count: int) -> list[str]:
    kind, config = layer["class_name"], layer["config"]
    known = VARIABLES.get(kind, ())
    names = [name for name, switch in known if switch is None or config.get(switch, True)]
    if count and count != len(names):
        raise UsageError(f"the layer {_name(layer)!r} of class {kind} has {count} weights.")
    return names if count else []


def _name(layer: Mapping[str, Any]) -> str:
    return layer["config"]["name"]


def _snake_case(name: str) -> str:
    """`BatchNormalization` as `batch_normalization`, `Conv2D` as `conv2d`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
