"""Torch files without torch; `tests/reference/test_torch_files.py` reads what torch writes."""

import os
import pickle
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest

from checkpoints import readers
from tests.checkpoints.torch_files import Call, Instance, View, write
from zoo.errors import UsageError

WEIGHTS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn.num_batches_tracked": np.array(7),
    "half": np.linspace(0, 1, 5).astype(np.float16),
    "brain": np.linspace(0, 1, 6).astype(ml_dtypes.bfloat16).reshape(2, 3),
    "bytes": np.arange(5, dtype=np.uint8),
    "flags": np.array([True, False]),
    "double": np.linspace(0, 1, 3),
    "empty": np.zeros((0, 4), np.float32),
}
W = np.arange(12, dtype=np.float32)


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pth"


@pytest.mark.parametrize("order", ["little", "big"])
def test_names_shapes_dtypes_and_order(file, order):
    weights = {k: v for k, v in WEIGHTS.items() if k != "brain"} if order == "big" else WEIGHTS
    assert_equal(readers.read(write(file, weights, byteorder=order)), weights)


def test_the_name_of_the_file_does_not_matter(tmp_path):
    for name in ("a.pt", "pytorch_model.bin", "tnt_s_81.5.pth.tar", "weights"):
        assert_equal(readers.read(write(tmp_path / name, WEIGHTS)), WEIGHTS)


def test_views_of_one_storage(file):
    views = {
        "all": View("s", "float32", 0, (3, 4), (4, 1)),
        "turned": View("s", "float32", 0, (4, 3), (1, 4)),
        "part": View("s", "float32", 5, (2, 2), (4, 2)),
        "number": View("s", "float32", 11, (), ()),
        "learned": View("s", "float32", 1, (2,), (1,), parameter=True),
    }
    found = readers.read(write(file, views, {"s": W.tobytes()}))
    whole = W.reshape(3, 4)
    expected = [whole, whole.T, W[[5, 7, 9, 11]].reshape(2, 2), W[11], W[1:3]]
    assert_equal(found, dict(zip(views, map(np.asarray, expected), strict=True)))
    assert np.shares_memory(found["all"], found["part"])


@pytest.mark.parametrize(
    "view",
    [
        View("s", "float32", 0, (13,), (1,)),
        View("s", "float32", 1, (12,), (1,)),
        View("s", "float32", 0, (2,), (12,)),
        View("s", "float64", 0, (7,), (1,)),
        View("s", "float32", -1, (2,), (1,)),
        View("s", "float32", 2, (2,), (-1,)),
        View("s", "float32", 0, (2, 2), (1,)),
        View("absent", "float32", 0, (2,), (1,)),
    ],
    ids=lambda view: f"{view.key}{view.offset}{view.shape}{view.strides}",
)
def test_a_tensor_beyond_its_storage_is_refused(file, view):
    with pytest.raises(UsageError, match=r"weights.pth' is no zip file or is damaged"):
        readers.read(write(file, {"w": view}, {"s": W.tobytes()}))


# What frameworks put around the tensors


@pytest.mark.parametrize(
    ("wrapped", "notes"),
    [
        ({"state_dict": {"w": W}}, ["took the weights under 'state_dict'"]),
        ({"model": {"w": W}, "epoch": 3}, ["took the weights under 'model', left epoch"]),
        (
            {"epoch": 3, "state_dict": {"w": 0 * W}, "state_dict_ema": {"module.w": W}},
            [
                "took the averaged (EMA) weights under 'state_dict_ema', left epoch, state_dict",
                "took 'module.' off every name",
            ],
        ),
        ({"module._orig_mod.w": W}, ["took 'module.' off", "took '_orig_mod.' off every name"]),
        ({"state_dict": {"model.w": W}}, ["took the weights", "took 'model.' off every name"]),
        ({"model_ema": {"w": W}, "model": {"w": 0 * W}}, ["took the averaged (EMA) weights"]),
        ({"w": W, "step": 4, "name": "x"}, ["left step, name, which are no tensors"]),
        ({"w": W}, []),
    ],
)
def test_wrappers_are_taken_off_and_said(file, wrapped, notes):
    found = readers.read_contents(write(file, wrapped))
    assert_equal(found.tensors, {"w": W})
    assert len(found.notes) == len(notes)
    for note, expected in zip(found.notes, notes, strict=True):
        assert note.startswith(expected)


def test_what_training_runs_keep_beside_the_weights_is_left(file):
    dtype = Call("numpy.dtype", ("f8", False, True))
    beside = {
        "args": Instance("argparse.Namespace", {"lr": 0.1, "model": "tnt", "dist": None}),
        "metric": Call("numpy.core.multiarray.scalar", (dtype, "12345678")),
        "optimizer": {"state": {0: {"exp_avg": W}}, "param_groups": [{"lr": 0.1, "betas": (0, 1)}]},
    }
    found = readers.read_contents(write(file, {"model": {"w": W}, **beside}))
    assert_equal(found.tensors, {"w": W})
    assert found.notes == ("took the weights under 'model', left args, metric, optimizer",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"epoch": 3, "loss": 0.1}, "holds no named tensors but the keys epoch, loss"),
        ({}, "holds no named tensors but nothing"),
        ([1, 2], "holds no named tensors but one list"),
        ({"model": {"epoch": 3}}, r"but the keys model \(epoch\)"),
    ],
)
def test_a_file_without_tensors(file, value, message):
    with pytest.raises(UsageError, match=message):
        readers.read(write(file, value))


# Code


class Evil:
    """What an attacker pickles."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_code_in_a_file_does_not_run(file, tmp_path, protocol):
    proof = tmp_path / "proof"
    program = pickle.dumps({"w": Evil(proof)}, protocol)
    pickle.loads(program)
    assert proof.exists(), "the attack itself does not work"
    proof.unlink()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", program)
    with pytest.raises(
        UsageError, match=r"it needs '(posix|nt)\.system', which is not on the list"
    ):
        readers.read(file)
    assert not proof.exists()


@pytest.mark.parametrize(
    "value",
    [
        Call("builtins.eval", ("1 + 1",)),
        Call("torch.load", ("x",)),
        Instance("torch.nn.modules.linear.Linear", {}),
        Call("collections.OrderedDict.__class__", ()),
    ],
    ids=lambda value: value.path,
)
def test_what_is_not_on_the_list_is_refused_by_its_name(file, value):
    with pytest.raises(UsageError, match=f"it needs {value.path!r}"):
        readers.read(write(file, {"w": W, "x": value}))


def test_a_program_in_torchscript_is_refused(file):
    write(file, {"w": W})
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("x/code/__torch__.py", "import os")
    with pytest.raises(UsageError, match="TorchScript program, which carries code"):
        readers.read(file)


def test_neither_torch_nor_a_named_module_is_imported(file):
    write(file, {"w": W, "args": Instance("argparse.Namespace", {})})
    script = (
        "import sys; from checkpoints import readers; before = set(sys.modules)\n"
        f"print(list(readers.read({str(file)!r})), 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.strip() == "['w'] False", found.stderr


# Hostile sizes


@pytest.mark.parametrize(
    "program",
    [
        b"}r\xff\xff\xff\xff",  # a memo of four billion places
        b"\x96" + b"\xff" * 7 + b"\x0f",  # a bytearray of an exabyte
        b"X\xff\xff\xff\xffx",  # a string that is not there
        b"(" * 20_000 + b"t" * 20_000,
        b"}" + b")\x85" * 20_000 + b"Ns",  # a key that is a deep tuple
        name_bomb := b")" + b"q\x00h\x00\x86" * 200 + b"X\x01\x00\x00\x00a\x93",
        b"",
        b"t",
        b"0" * 10,
    ],
    ids=range(9),
)
def test_hostile_programs_end_at_once(file, program):
    with pytest.raises(UsageError, match=r"weights\.pth'"):
        readers.read(write(file, program))


def test_a_compressed_file_is_refused(file):
    write(file, {"w": np.zeros(1 << 20)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UsageError, match="is compressed, which torch never does"):
        readers.read(file)


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", bytes(100 << 20))
    with pytest.raises(UsageError, match=r"bytes claim to hold 104,857,600"):
        readers.read(tmp_path / "x.npz")


@pytest.mark.parametrize("body", [b"\x80\x02]q\x01.", pickle.dumps({"w": 1})])
def test_other_pickles_are_refused(file, body):
    file.write_bytes(body)
    with pytest.raises(UsageError, match=r"a pickle that `torch.save` has not written"):
        readers.read(file)


def test_the_oldest_files_name_the_extra(file):
    file.write_bytes(bytes(257) + b"ustar\0")
    with pytest.raises(UsageError, match=r"before version 0\.1\.10.*\[reference\] extra"):
        readers.read(file)
