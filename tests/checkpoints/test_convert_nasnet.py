"""NASNet's tensors in Keras and timm: there and back, in the order of the source."""

import json
from pathlib import Path

import numpy as np
import pytest

import checkpoints
import zoo
from tests.golden import fill
from tests.golden.constructors import parse_constructor

CASES = Path(__file__).parents[1] / "golden" / "cases"


@pytest.mark.parametrize(
    "name",
    ["nasnetmobile_keras_96", pytest.param("nasnetalarge_96_c1000", marks=pytest.mark.slow)],
)
def test_export_inverts_import(name):
    case = json.loads((CASES / f"{name}.json").read_text())
    source, architecture, overrides = parse_constructor(case)
    model = zoo.create_model(architecture, **overrides)
    tensors = fill.fill_state_dict(case)
    imported = checkpoints.import_weights(model, tensors, source)
    exported = checkpoints.export_weights(model, imported, source)
    assert list(exported) == list(tensors)
    for key, tensor in tensors.items():
        assert exported[key].dtype == tensor.dtype
        np.testing.assert_array_equal(exported[key], tensor)
