"""A layer-normalised LSTM's names in PyTorch's benchmark, `benchmarks/fastrnns/custom_lstms.py`."""

from collections.abc import Mapping

import numpy as np

from checkpoints.convert.leaves import NORM
from checkpoints.convert.rules import Leaf, Rule, Shape, Table
from zoo.errors import UsageError


def example(tensors: Mapping[str, np.ndarray]) -> Shape:
    """One step of as many features as the tensors read."""
    if "weight_ih" not in tensors:
        raise UsageError("the tensors do not fit the model: there is no 'weight_ih'")
    return (1, tensors["weight_ih"].shape[1])


def rules(ours: str = "", theirs: str = "") -> tuple[Rule, ...]:
    """Those of a layer, whose path begins with `ours` and whose cell they call `theirs`."""
    inside = f"{theirs}." if theirs else ""
    return (
        Rule(f"{ours}input", theirs, (Leaf("params/kernel", "weight_ih", (1, 0)),)),
        Rule(f"{ours}step/hidden", theirs, (Leaf("params/kernel", "weight_hh", (1, 0)),)),
        Rule(f"{ours}input_norm", f"{inside}layernorm_i", NORM),
        Rule(f"{ours}step/hidden_norm", f"{inside}layernorm_h", NORM),
        Rule(f"{ours}step/cell_norm", f"{inside}layernorm_c", NORM),
    )


ORDER = (
    *("weight_ih", "weight_hh", "layernorm_i", "layernorm_h", "layernorm_c"),
    *("weight", "bias"),
)
PYTORCH = Table(rules=rules(), order=ORDER, example=example)

TABLES = {"pytorch": PYTORCH}
