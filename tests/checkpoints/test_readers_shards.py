"""Models in several files; hostile lists are in `hostile_files`."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoints import readers
from tests.checkpoints.torch_files import write
from zoo.errors import UsageError

FIRST = {"net.layer1.weight": np.arange(6.0), "net.layer1.bias": np.ones(2)}
SECOND = {"net.fc.weight": np.ones((2, 3), np.float32)}
PARTS = ["model-00001-of-00002", "model-00002-of-00002"]


@pytest.fixture(params=["safetensors", "bin"])
def index(request, tmp_path):
    """A list of two parts, each of which has a longer prefix than both."""
    suffix = request.param
    names = {}
    for part, tensors in zip(PARTS, (FIRST, SECOND), strict=True):
        path = tmp_path / f"{part}.{suffix}"
        save_file(tensors, path) if suffix == "safetensors" else write(path, tensors)
        names |= dict.fromkeys(tensors, path.name)
    path = tmp_path / f"model.{suffix}.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 88}, "weight_map": names}))
    return path


def test_parts_are_joined_and_their_common_prefix_taken_off(index):
    found = readers.read_contents(index)
    assert set(found.tensors) == {"layer1.weight", "layer1.bias", "fc.weight"}
    np.testing.assert_array_equal(found.tensors["layer1.weight"], np.arange(6.0))
    assert found.notes == ("joined 2 files", "took 'net.' off every name")


def test_one_part_names_the_list(index):
    part = next(p for p in index.parent.iterdir() if p.name.startswith(PARTS[0]))
    with pytest.raises(UsageError, match=r"one part of several; give '.*index\.json'"):
        readers.read(part)


def test_parts_that_are_missing_or_of_another_model_are_named(index):
    part = next(p for p in index.parent.iterdir() if p.name.startswith(PARTS[1]))
    save_file({"other": np.ones(2)}, part)
    with pytest.raises(UsageError, match=r"do not belong together: only one of them has 'net\.fc"):
        readers.read(index)
    part.unlink()
    with pytest.raises(UsageError, match=rf"lists '{part.name}', which is not beside it"):
        readers.read(index)
