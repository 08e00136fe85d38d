"""Columns as rows of a network: values of each attribute, and a bit that says it is masked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from train.tabular.frames import Columns, as_names, as_numbers, label
from zoo.errors import UsageError

# Standard deviations from the mean. An embedding has long reached its limit there, and the square
# of a larger number may be infinite in float32.
LARGEST = 1e9


class Table(NamedTuple):
    """Encoded rows: for each attribute its values and a mask bit.

    Attributes:
        rows: as `zoo.hopular` wants them, nothing masked; missing values are zeros.
        known: which attributes are there.
    """

    rows: Any  # float (n, columns), of NumPy or JAX
    known: Any  # bool (n, d)


class Encoding(NamedTuple):
    """How columns become numbers.

    Attributes:
        categories: of each categorical column, by its index.
        mean, spread: of the other columns.
    """

    categories: Mapping[int, Sequence[str]]
    mean: Float[np.ndarray, " d"]
    spread: Float[np.ndarray, " d"]

    @property
    def sizes(self) -> list[int]:
        """How many values each column has in a row."""
        return [len(self.categories.get(j, ())) or 1 for j in range(len(self.mean))]


def learn_encoding(
    columns: Columns, categorical: Sequence[int], weights: Float[np.ndarray, " n"] | None = None
) -> Encoding:
    """Categories of the categorical columns; mean and spread of the others.

    Raises:
        UsageError, TypeError: a column is not categorical and holds something else than numbers.
    """
    categories, moments = {}, np.tile([0.0, 1.0], (len(columns.cells), 1))
    for j, cells in enumerate(columns.cells):
        if j in categorical:
            categories[j] = sorted({name for name in as_names(cells) if name is not None})
        else:
            moments[j] = mean_and_spread(_numeric(columns, j), weights)
    return Encoding(categories, *moments.T)


def to_numbers(columns: Columns, encoding: Encoding) -> Float[np.ndarray, "n d"]:
    """Standardised numbers and indices of categories; NaN where missing or never seen.

    Raises:
        UsageError, TypeError: a column is not categorical and holds something else than numbers.
    """
    values = np.empty((len(columns.cells[0]), len(columns.cells)))
    for j, cells in enumerate(columns.cells):
        if j in encoding.categories:
            index: dict[str | None, int] = {n: i for i, n in enumerate(encoding.categories[j])}
            values[:, j] = [index.get(name, np.nan) for name in as_names(cells)]
        else:
            values[:, j] = standardize(_numeric(columns, j), encoding.mean[j], encoding.spread[j])
    return values


def mean_and_spread(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None = None
) -> tuple[float, float]:
    """Mean and standard deviation of what is there; 1 for the spread of a constant."""
    there = ~np.isnan(values)
    values, weights = values[there], None if weights is None else weights[there]
    largest = np.abs(values).max(initial=0)
    if largest == 0:
        return 0.0, 1.0
    # Relative to the largest, so that no square is too large or too small.
    mean = np.average(values / largest, weights=weights)
    spread = np.sqrt(np.average(np.square(values / largest - mean), weights=weights))
    return float(mean * largest), float(spread * largest) if spread > 1e-12 else 1.0


def standardize(values: Float[np.ndarray, "*n"], mean: float, spread: float) -> np.ndarray:
    """Values in standard deviations from the mean, at most `LARGEST` of them."""
    with np.errstate(over="ignore"):  # halves, as the difference of two floats may be none
        scaled = (values / 2 - mean / 2) / spread * 2
    return np.clip(scaled, -LARGEST, LARGEST)


def encode(
    values: Float[np.ndarray, "n d"], sizes: Sequence[int], discrete: Sequence[int]
) -> Table:
    """Rows of standardised numbers and class indices as a table; NaN is missing."""
    known = ~np.isnan(values)
    parts = []
    for j, size in enumerate(sizes):
        column = np.where(known[:, j], values[:, j], 0)
        part = np.zeros((len(values), size + 1), np.float32)
        if j in discrete:
            part[np.arange(len(values)), column.astype(int)] = known[:, j]
        else:
            part[:, 0] = column
        parts.append(part)
    return Table(np.concatenate(parts, axis=1), known)


def fill_up(table: Table, rows: int) -> Table:
    """The table with rows of nothing at its end."""
    return Table(*(np.pad(x, ((0, rows - len(x)), (0, 0))) for x in table))


def layout(sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The attribute of every column, and which columns are mask bits."""
    owner = np.repeat(np.arange(len(sizes)), np.add(sizes, 1))
    return owner, np.append(owner[1:] != owner[:-1], True)


def hide(
    table: Table, hidden: Bool[Array, "n d"], sizes: Sequence[int]
) -> Float[Array, "n columns"]:
    """Rows in which some attributes are masked: their values are zeros, their mask bits 1."""
    owner, bit = layout(sizes)
    return jnp.where(hidden[:, owner], jnp.asarray(bit, jnp.float32)[None], table.rows)


def _numeric(columns: Columns, j: int) -> Float[np.ndarray, " n"]:
    name = columns.names[j] if len(columns.names) else j
    remedy = f"name it in `categorical`, as in categorical=({name!r},), or give categorical='auto'"
    where = label(j, columns.names)
    values = as_numbers(columns.cells[j], where, remedy)
    if np.isinf(values).any():
        raise UsageError(
            f"{where} must hold finite numbers, got infinity; replace it by a number, or by NaN, "
            "which counts as missing"
        )
    return values
