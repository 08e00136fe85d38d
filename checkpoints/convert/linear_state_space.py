"""A single LSSL layer's names in the authors' repository ("s4")."""

from collections.abc import Mapping

import numpy as np

from checkpoints.convert.leaves import DENSE
from checkpoints.convert.rules import Leaf, Path, Rule, Shape, Table
from zoo.errors import UsageError

# What is fixed and not trained lies in another collection of ours, under the same name.
LAYER = (
    Leaf("params/C", "C"),
    Leaf("params/D", "D"),
    Leaf("params/E", "E"),
    Leaf("params/log_dt", "log_dt"),
    Leaf("batch_stats/log_dt", "log_dt"),
)
PARTS = ("dl", "d", "du", "pl", "pr", "a", "c", "b")
TRANSITION = tuple(
    Leaf(f"{collection}/{part}", part) for collection in ("params", "batch_stats") for part in PARTS
)
ORDER = (
    *("C", "D", "E", "log_dt", "transition", "output_linear"),
    *(*PARTS, "I", "ones", "arange", "e", "weight", "bias"),
)


def constants(
    shapes: Mapping[Path, Shape], prefix: str = "", at: Path = ()
) -> dict[str, np.ndarray]:
    """The identity, ones and indices that each transition of the repository keeps beside it."""
    size = shapes["params", *at, "C"][-1]
    parts = {path[-1]: shape for path, shape in shapes.items() if path[1:-1] == (*at, "transition")}
    cumulative = parts.get("a") == ()
    found = {
        "I": np.eye(size, dtype=np.float32),
        "ones": np.ones(size, np.float32),
        "arange": np.arange(size - cumulative),
    }
    if "a" in parts and "c" in parts:  # the Toeplitz form
        found["e"] = np.eye(size, dtype=np.float32)[0]
    return {f"{prefix}transition.{name}": array for name, array in found.items()}


def example(tensors: Mapping[str, np.ndarray]) -> Shape:
    """One step of as many features as the tensors have."""
    if "D" not in tensors:
        raise UsageError("the tensors do not fit the model: a layer has one called 'D'")
    return (1, tensors["D"].shape[0])


S4 = Table(
    rules=(
        Rule("", "", LAYER),
        Rule("transition", "transition", TRANSITION),
        Rule("output", "output_linear", DENSE),
    ),
    order=ORDER,
    constants=constants,
    example=example,
)
