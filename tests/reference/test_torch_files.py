"""Files that torch itself writes, read without it."""

import argparse
import collections
import pathlib

import numpy as np
import pytest

from checkpoints import readers
from zoo.errors import UsageError

pytestmark = pytest.mark.reference


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def assert_same(found, expected, torch):
    assert list(found) == list(expected)
    for name, tensor in {n: t.detach() for n, t in expected.items()}.items():
        if tensor.dtype == torch.bfloat16:
            assert found[name].dtype.name == "bfloat16"
            assert found[name].astype(np.float32).tolist() == tensor.float().tolist()
            continue
        assert found[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(found[name], tensor.numpy())


def tensors(torch):
    base = torch.arange(60.0).reshape(3, 4, 5)
    dtypes = ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    return {
        "base": base,
        "turned": base.transpose(0, 2),
        "strided": base[:, 1::2, ::3],
        "offset": base[2, 3],
        "number": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "learned": torch.nn.Parameter(torch.randn(2, 2)),
        "complex": torch.randn(3, dtype=torch.complex64),
        **{name: torch.arange(6).to(getattr(torch, name)) for name in dtypes},
        **{name: torch.arange(6).to(getattr(torch, name)) for name in ("uint16", "uint32")},
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_kind_of_tensor(torch, tmp_path, protocol):
    expected = tensors(torch)
    torch.save(expected, tmp_path / "x.pth", pickle_protocol=protocol)
    assert_same(readers.read(tmp_path / "x.pth"), expected, torch)


def test_a_training_checkpoint(torch, tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    run = {
        "model": torch.nn.DataParallel(model).state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.1, opt=None, sizes=[1, 2]),
        "epoch": 3,
        "metric": np.float64(81.5),
        "counts": collections.defaultdict(int),
        "device": torch.device("cpu"),
        "size": torch.Size([1, 2]),
    }
    torch.save(run, tmp_path / "x.pth")
    found = readers.read_contents(tmp_path / "x.pth")
    assert_same(found.tensors, model.state_dict(), torch)
    assert "took the weights under 'model'" in found.notes[0]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_form_of_before_version_1_6(torch, tmp_path, protocol):
    expected = {k: t for k, t in tensors(torch).items() if not k.startswith("uint")}
    options = {"_use_new_zipfile_serialization": False, "pickle_protocol": protocol}
    torch.save(expected, tmp_path / "x.pth", **options)
    assert_same(readers.read(tmp_path / "x.pth"), expected, torch)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_settings_beside_the_weights(torch, tmp_path, protocol, is_new):
    """Nothing of them is made, whatever they are; the schedule's milestones are a Counter."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {
        "path": pathlib.Path("/tmp/x"),
        "mean": np.array([0.1, 0.2]),
        "number": np.float32(3),
        "random": (np.random.default_rng(0), torch.get_rng_state()),
        "containers": [collections.deque([1]), {1, 2}, frozenset("a"), {(1, 2): None, 2.5: 3}],
        "types": [np.dtype("f4"), torch.float32, torch.device("cpu"), torch.__version__],
    }
    run = {
        "state_dict": torch.nn.DataParallel(model).state_dict(),
        "best_acc1": torch.tensor(71.2),
        "args": argparse.Namespace(**settings),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60]).state_dict(),
    }
    options = {"_use_new_zipfile_serialization": is_new, "pickle_protocol": protocol}
    torch.save(run, tmp_path / "x.pth", **options)
    assert_same(readers.read(tmp_path / "x.pth"), model.state_dict(), torch)


def test_an_averaged_model(torch, tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    averaged = torch.optim.swa_utils.AveragedModel(model)
    torch.save({"model": {}, "model_ema": averaged.state_dict()}, tmp_path / "x.pth")
    assert_same(readers.read(tmp_path / "x.pth"), model.state_dict(), torch)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_whole_model_is_refused(torch, tmp_path, is_new):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pth", _use_new_zipfile_serialization=is_new)
    with pytest.raises(UsageError, match=r"it needs 'torch\.nn\.modules\.linear\.Linear'"):
        readers.read(tmp_path / "x.pth")
