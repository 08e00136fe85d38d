"""Keras files without Keras; `tests/reference/test_keras_files.py` reads what Keras writes."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from checkpoints import readers
from checkpoints.readers import keras
from tests.checkpoints.keras_files import write_h5
from zoo.errors import UsageError

CONV, BN = np.arange(54.0, dtype=np.float32).reshape(3, 3, 3, 2), np.ones(2, np.float32)
WEIGHTS = {
    "conv2d_7/kernel": CONV,
    "batch_normalization_7/beta": BN,
    "batch_normalization_7/moving_mean": 2 * BN,
    "batch_normalization_7/moving_variance": 3 * BN,
}


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def write_keras(path, classes=("InputLayer", "Conv2D", "BatchNormalization", "Conv2D")):
    names = ["input_layer", "conv2d_7", "batch_normalization_7", "last"]
    settings = [{}, {"use_bias": False}, {"scale": False}, {}]
    layers = [
        {"class_name": kind, "config": {"name": name, **options}}
        for kind, name, options in zip(classes, names, settings, strict=True)
    ]
    body = io.BytesIO()
    groups = {
        "layers/conv2d": [CONV],
        "layers/batch_normalization": [BN, 2 * BN, 3 * BN],
        "layers/conv2d_1": [2 * CONV, 2 * BN],
    }
    with h5py.File(body, "w") as file:
        for place, arrays in groups.items():
            for i, array in enumerate(arrays):
                file[f"{place}/vars/{i}"] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": layers}}))
        archive.writestr("model.weights.h5", body.getvalue())
    return path


@pytest.mark.parametrize("root", ["/", "model_weights"])
def test_names_are_those_that_the_layers_list(tmp_path, root):
    assert_equal(readers.read(write_h5(tmp_path / "x.h5", WEIGHTS, root)), WEIGHTS)


def test_long_lists_of_names_come_in_pieces(tmp_path):
    write_h5(tmp_path / "x.h5", WEIGHTS)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
    assert_equal(readers.read(tmp_path / "x.h5"), WEIGHTS)


def test_the_layers_of_a_keras_file_get_their_names_back(tmp_path):
    expected = {**WEIGHTS, "last/kernel": 2 * CONV, "last/bias": 2 * BN}
    assert_equal(readers.read(write_keras(tmp_path / "x.keras")), expected)


def test_weights_of_an_unknown_class_are_refused(tmp_path):
    write_keras(tmp_path / "x.keras", ("InputLayer", "Conv2D", "BatchNormalization", "Conv3D"))
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        body = io.BytesIO(archive.read("model.weights.h5"))
        config = archive.read("config.json")
    with h5py.File(body, "a") as file:
        file.move("layers/conv2d_1", "layers/conv3d")
    with zipfile.ZipFile(tmp_path / "y.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", body.getvalue())
    with pytest.raises(UsageError, match="layer 'last' of class Conv3D has 2 weights"):
        readers.read(tmp_path / "y.keras")


def test_an_h5_file_without_names_says_what_to_write(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["layers/conv2d/vars/0"] = CONV
    with pytest.raises(UsageError, match="no `layer_names`, so its layers are unknown; write"):
        readers.read(tmp_path / "x.h5")


def test_parts_that_lie_elsewhere_are_refused(tmp_path):
    secret = write_h5(tmp_path / "secret.h5", WEIGHTS)
    name = "conv2d_7/kernel"
    write_h5(tmp_path / "x.h5", WEIGHTS)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file[f"conv2d_7/{name}:0"]
        file[f"conv2d_7/{name}:0"] = h5py.ExternalLink(secret, f"conv2d_7/{name}:0")
    with pytest.raises(UsageError, match="lies in another file"):
        readers.read(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file[f"conv2d_7/{name}:0"]
        (tmp_path / "raw").write_bytes(bytes(216))
        file.create_dataset(
            f"conv2d_7/{name}:0", (54,), "f4", external=[(tmp_path / "raw", 0, 216)]
        )
    with pytest.raises(UsageError, match="no array of its own"):
        readers.read(tmp_path / "x.h5")


def test_arrays_that_were_never_written_are_refused(tmp_path):
    write_h5(tmp_path / "x.h5", WEIGHTS)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file["conv2d_7/conv2d_7/kernel:0"]
        file.create_dataset("conv2d_7/conv2d_7/kernel:0", (1 << 20, 1 << 20), "f4", chunks=True)
    with pytest.raises(UsageError, match=r"parts claim to hold 4,398,0.* not believed"):
        readers.read(tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("while True: pass", "the HDF5 library comes to no end with it; it is damaged"),
        ("import os; os.kill(os.getpid(), 11)", "is no HDF5 file or is damaged: signal 11"),
        ("raise OSError('bad heap.')", "is no HDF5 file or is damaged: OSError: bad heap"),
    ],
    ids=["hangs", "crashes", "complains"],
)
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_what_the_library_does_to_damaged_files_it_does_elsewhere(
    tmp_path, monkeypatch, suffix, script, message
):
    """In a process of its own, which here has a script in the library's place."""
    (tmp_path / "trial.py").write_text(script)
    monkeypatch.setattr(keras, "_TRIAL", tmp_path / "trial.py")
    monkeypatch.setattr(keras, "_PATIENCE", 0.5)
    path = tmp_path / f"x{suffix}"
    write_h5(path, WEIGHTS) if suffix == ".h5" else write_keras(path)
    with pytest.raises(UsageError, match=message):
        readers.read(path)
