import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoints import readers
from zoo.errors import UsageError


def test_names_order_and_dtypes_are_kept(tmp_path):
    tensors = {
        "z": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.ones(2, ml_dtypes.bfloat16),
        "n": np.array(3),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    read = readers.read(tmp_path / "x.safetensors")
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "weights.pth").touch()
    with pytest.raises(UsageError, match=r"suffix '\.pth'; only \.safetensors"):
        readers.read(tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="no file of weights"):
        readers.read(tmp_path / "x.safetensors")
    save_file({"a": np.ones(100)}, tmp_path / "x.safetensors")
    whole = (tmp_path / "x.safetensors").read_bytes()
    for part in (b"", whole[:20], whole[:-1]):
        (tmp_path / "x.safetensors").write_bytes(part)
        with pytest.raises(UsageError, match=r"x\.safetensors' is no safetensors file or is"):
            readers.read(tmp_path / "x.safetensors")
