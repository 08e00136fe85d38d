import os
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import checkpoints
from checkpoints import readers
from zoo.errors import UsageError

TENSORS = {
    "z": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.ones(2, ml_dtypes.bfloat16),
    "n": np.array(3),
}
WHOLE = {"z": np.arange(6.0).reshape(2, 3), "a": np.asfortranarray(np.eye(3)), "n": np.array(3)}


def test_names_order_and_dtypes_are_kept(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors")
    read = readers.read(tmp_path / "x.safetensors")
    assert set(read) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz(tmp_path, write):
    write(tmp_path / "x.npz", **WHOLE)
    read = readers.read(tmp_path / "x.npz")
    assert list(read) == list(WHOLE)
    for name, array in WHOLE.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_pickled_objects_in_npz_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", w=np.array([{}], object))
    with pytest.raises(UsageError, match="Python objects, which may carry code"):
        readers.read(tmp_path / "x.npz")


def test_an_archive_whose_directory_is_cut_is_refused(tmp_path):
    """Python's reader believes the length of the directory and passes over what is missing."""
    file = tmp_path / "x.npz"
    np.savez(file, **WHOLE)
    body = bytearray(file.read_bytes())
    end = body.rfind(b"PK\x05\x06")
    first = body.find(b"PK\x01\x02")
    second = body.find(b"PK\x01\x02", first + 4)
    body[end + 12 : end + 16] = (second - first).to_bytes(4, "little")
    del body[second:end]
    file.write_bytes(body)
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 1
    with pytest.raises(UsageError, match="its directory lists 1 parts and counts 3"):
        readers.read(file)


def test_a_file_without_tensors_is_refused(tmp_path):
    save_file({}, tmp_path / "x.safetensors")
    np.savez(tmp_path / "x.npz")
    for name in ("x.safetensors", "x.npz"):
        with pytest.raises(UsageError, match=f"{name}'.*(holds no tensors|is no file of weights)"):
            readers.read(tmp_path / name)


def test_prefixes_of_wrappers_are_taken_off_whatever_the_format(tmp_path):
    save_file({"module.w": np.ones(2), "module.b": np.ones(2)}, tmp_path / "x.safetensors")
    found = readers.read_contents(tmp_path / "x.safetensors")
    assert set(found.tensors) == {"w", "b"}
    assert found.notes == ("took 'module.' off every name",)


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "weights.pth").touch()
    with pytest.raises(UsageError, match=r"weights\.pth' is no file of weights, or is damaged"):
        readers.read(tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="There is no file of weights"):
        readers.read(tmp_path / "x.safetensors")
    save_file({"a": np.ones(100)}, tmp_path / "x.safetensors")
    whole = (tmp_path / "x.safetensors").read_bytes()
    for part in (whole[:20], whole[:-1]):
        (tmp_path / "x.safetensors").write_bytes(part)
        with pytest.raises(UsageError, match=r"x\.safetensors' is no safetensors file or is"):
            readers.read(tmp_path / "x.safetensors")


@pytest.mark.parametrize("behind_a_link", [False, True])
def test_loading_waits_for_no_pipe(tmp_path, behind_a_link):
    pipe = tmp_path / "resnet8.pth"
    os.mkfifo(tmp_path / "pipe" if behind_a_link else pipe)
    if behind_a_link:
        pipe.symlink_to(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is a pipe or a device and no file of weights"):
        checkpoints.load(pipe)
