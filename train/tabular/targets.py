"""Targets and weights of a training set, checked."""

from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight

from train.tabular.frames import Columns, as_numbers, is_missing
from zoo.errors import UsageError, shown

Weights = Float[np.ndarray, " n"]


def check_target(target: Any) -> None:
    """Raises a UsageError where an object among the targets is None or NA.

    NaN among numbers is left to scikit-learn.
    """
    cells = np.asarray(target)
    if cells.dtype != object or cells.ndim == 0:
        return
    missing = [i for i, value in enumerate(cells.reshape(-1)) if is_missing(value)]
    if missing:
        raise UsageError(
            f"`y` has {len(missing)} missing values, the first in row {missing[0]}; leave these "
            "rows out, their target cannot be learned from"
        )


def as_target(target: np.ndarray) -> Float[np.ndarray, " n"]:
    """Targets of a regression as numbers.

    Raises:
        UsageError: one is not.
    """
    return as_numbers(target, "`y`", "classes are for `HopularClassifier`")


def as_classes(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes in order, and the index of each target among them.

    Raises:
        UsageError: classes cannot be compared with each other.
    """
    try:
        return np.unique(target, return_inverse=True)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in target})
        raise UsageError(
            f"the classes in `y` must be of one type, got {', '.join(kinds)}; make all of them "
            "strings"
        ) from None


def check_weights(weights: Any, rows: int) -> Weights | None:
    """Weights of samples as numbers, or None for the same for all.

    Raises:
        UsageError: they are not one number for each row, or one is negative.
        ValueError: scikit-learn's checks, of NaN and infinity too.
    """
    if weights is None:
        return None
    options: Any = {"ensure_2d": False, "allow_nd": True, "dtype": np.float64}
    found = check_array(weights, input_name="sample_weight", **options)
    if found.shape != (rows,):
        raise UsageError(
            f"`sample_weight` must be one number for each of {rows} rows, got the shape "
            f"{found.shape}"
        )
    if found.min() < 0:
        raise UsageError(f"`sample_weight` must not be negative, got {found.min()}")
    return found


def with_class_weight(class_weight: Any, target: np.ndarray, weights: Weights | None) -> Weights:
    """Weights of samples times those of their classes.

    Args:
        class_weight: `{class: weight}`, or "balanced" for such that all classes count the same.
        target: classes.
        weights: of samples, or None.

    Raises:
        UsageError, ValueError: it is something else, or names classes that are not there.
    """
    classes, index = as_classes(target)
    weights = np.ones(len(target)) if weights is None else weights
    if isinstance(class_weight, dict):
        factors = compute_class_weight(class_weight, classes=classes, y=target)
        if not (factors >= 0).all() or np.isinf(factors).any():
            raise UsageError(
                "`class_weight` must hold finite numbers that are not negative, "
                f"got {shown(class_weight)}"
            )
        return weights * factors[index]
    if not (isinstance(class_weight, str) and class_weight == "balanced"):
        raise UsageError(
            "`class_weight` must be None, 'balanced' or a dict from classes to weights, "
            f"got {shown(class_weight)}"
        )
    totals = np.bincount(index, weights)
    return weights / np.where(totals > 0, totals, 1)[index]


def without_nothing(
    table: Columns, target: np.ndarray, weights: Weights | None
) -> tuple[Columns, np.ndarray, Weights | None]:
    """A training set without its rows of weight zero; weights become 1 on average.

    Raises:
        UsageError: all weights are zero.
    """
    if weights is None:
        return table, target, None
    if not weights.max() > 0:
        raise UsageError("the weights of all rows are zero; at least one must be positive")
    shares = weights / weights.max()
    there = shares > 0
    shares = shares[there] / shares[there].mean()
    cells = [cells[there] for cells in table.cells]
    same = shares.max() == shares.min()
    return table._replace(cells=cells), target[there], None if same else shares
