"""Files that torch itself writes, read without it."""

import argparse
import collections

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


@pytest.mark.parametrize("legacy", [True, False])
def test_what_is_refused(torch, tmp_path, legacy):
    model = torch.nn.Linear(2, 2)
    if legacy:
        torch.save(model.state_dict(), tmp_path / "x.pth", _use_new_zipfile_serialization=False)
        message = r"\[reference\] extra"
    else:
        torch.save(model, tmp_path / "x.pth")
        message = r"it needs 'torch\.nn\.modules\.linear\.Linear'"
    with pytest.raises(UsageError, match=message):
        readers.read(tmp_path / "x.pth")
