"""SReT to and from the names of the authors' repository."""

import json
from pathlib import Path

import numpy as np
import pytest

import checkpoints
import zoo
from tests.golden import fill

CASES = Path(__file__).parents[1] / "golden" / "cases"
SHARED = "transformers.0.blocks.2.mlp.fc1.weight"


@pytest.fixture(scope="module")
def tensors():
    case = json.loads((CASES / "sret_t_224.json").read_text())
    return {n: t.astype(np.float32) if t.ndim else t for n, t in fill.fill_state_dict(case).items()}


@pytest.fixture(scope="module")
def model():
    return zoo.create_model("sret_t", num_classes=10)


def test_round_trip_is_exact_and_repeats_shared_blocks(model, tensors):
    variables = checkpoints.import_weights(model, tensors, "sret")
    exported = checkpoints.export_weights(model, variables, "sret")
    assert list(exported) == list(tensors)
    for name, tensor in tensors.items():
        assert exported[name].dtype == tensor.dtype
        np.testing.assert_array_equal(exported[name], tensor)
    assert SHARED in exported


def test_a_block_that_is_not_shared_is_refused(model, tensors):
    with pytest.raises(zoo.UsageError, match=f"! {SHARED} is missing or differs from .*blocks.0"):
        checkpoints.import_weights(model, tensors | {SHARED: tensors[SHARED] + 1}, "sret")


def test_a_block_that_is_missing_is_refused(model, tensors):
    rest = {name: tensor for name, tensor in tensors.items() if name != SHARED}
    with pytest.raises(zoo.UsageError, match=f"! {SHARED} is missing"):
        checkpoints.import_weights(model, rest, "sret")
