"""Torch files of before version 1.6, without torch."""

import ml_dtypes
import numpy as np
import pytest

from checkpoints import readers
from tests.checkpoints.torch_files import Call, Instance, View, write_legacy
from zoo.errors import UsageError

W = np.arange(12, dtype=np.float32)
WEIGHTS = {
    "conv.weight": W.reshape(2, 3, 2, 1),
    "bn.num_batches_tracked": np.array(7),
    "brain": np.linspace(0, 1, 6).astype(ml_dtypes.bfloat16).reshape(2, 3),
    "double": np.linspace(0, 1, 3),
    "empty": np.zeros((0, 4), np.float32),
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pth"


def test_names_shapes_dtypes_and_order(file):
    found = readers.read_contents(write_legacy(file, {"epoch": 3, "state_dict": WEIGHTS}))
    assert list(found.tensors) == list(WEIGHTS)
    for name, array in WEIGHTS.items():
        assert found.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(found.tensors[name], array)
    assert found.notes == ("took the weights under 'state_dict', left epoch",)


def test_views_and_parts_of_storages(file):
    views = {
        "turned": View("s", "float32", 0, (4, 3), (1, 4)),
        "row": View("s", "float32", 4, (4,), (1,)),
        "part": View("s", "float32", 1, (2,), (1,), part=("s.part", 5, 3)),
        "spread": View("s", "float32", 2, (3, 2), (0, 0)),
    }
    found = readers.read(write_legacy(file, views, {"s": W.tobytes()}))
    np.testing.assert_array_equal(found["turned"], W.reshape(3, 4).T)
    np.testing.assert_array_equal(found["row"], W[4:8])
    np.testing.assert_array_equal(found["part"], W[6:8])
    np.testing.assert_array_equal(found["spread"], np.full((3, 2), 2))


def test_code_is_refused_by_its_name(file):
    value = {"w": W, "x": Call("posix.system", ("true",)), "y": Instance("os.x", {})}
    with pytest.raises(UsageError, match=r"it needs 'posix\.system', which is not on the list"):
        readers.read(write_legacy(file, value))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"magic": b"\x80\x02K\x07."}, "a pickle that `torch.save` has not written"),
        ({"version": 1002}, "a torch file of version 1002, not 1001"),
        ({"end": b"more"}, "is no torch file or is damaged: 4 bytes follow its end"),
    ],
)
def test_other_files_are_refused(file, options, message):
    with pytest.raises(UsageError, match=message):
        readers.read(write_legacy(file, WEIGHTS, **options))


@pytest.mark.parametrize("left", [0, 30, 300, -1])
def test_a_file_that_is_cut_is_refused(file, left):
    body = write_legacy(file, WEIGHTS).read_bytes()
    file.write_bytes(body[:left])
    with pytest.raises(UsageError, match=r"weights\.pth' is no"):
        readers.read(file)


def test_a_tensor_beyond_its_storage_is_refused(file):
    view = View("s", "float32", 0, (13,), (1,))
    with pytest.raises(UsageError, match=r"\(13,\) reaches beyond its storage"):
        readers.read(write_legacy(file, {"w": view}, {"s": W.tobytes()}))
