"""Errors, and the row of a report that they make."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

import checkpoints


class Outcome(NamedTuple):
    """One row of the report: largest relative error per column, or why there is none."""

    case: str
    errors: Mapping[str, float]
    failure: str = ""

    @property
    def passed(self) -> bool:
        return not self.failure


def relative(found: Any, expected: Any) -> float:
    """Largest difference over the largest magnitude expected; infinite if shapes disagree."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return float("inf")
    return float(np.max(np.abs(found - expected)) / max(np.max(np.abs(expected)), 1e-30))


def gradient_error(
    found: Mapping[str, float], arrays: dict[str, np.ndarray], zero: list[str]
) -> float:
    """Largest error over all norms; gradients that vanish in theory count absolutely."""
    expected = dict(zip(arrays["grad_names"], arrays["grad_norms"], strict=True))
    names = [name for name in expected if name not in zero]
    error = relative([found[n] for n in names], [expected[n] for n in names])
    return max([error, *(found[n] for n in zero)])


def norms(model: Any, tree: Any, source: str) -> dict[str, float]:
    """Euclidean norm of every leaf, under the source's names."""
    exported = checkpoints.export_weights(model, tree, source)
    return {name: float(np.linalg.norm(np.ravel(array))) for name, array in exported.items()}
