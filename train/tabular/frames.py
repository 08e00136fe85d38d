"""What people bring as a table, column by column: arrays, lists, frames of pandas and of Polars.

Every column keeps a type of its own. A frame is known by its `columns` and `dtypes`, so that
neither library is needed. A cell is missing if it is None, NaN, NaT or pandas' NA.
"""

import datetime
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from zoo.errors import UsageError, closest, shown

CATEGORICAL = ("category", "categorical", "enum")  # how names of dtypes begin, in lower case
DATES = (datetime.date, datetime.timedelta, np.datetime64, np.timedelta64)


class Columns(NamedTuple):
    """The columns of a table.

    Attributes:
        cells: for each column its cells, of whatever dtype.
        names: of the columns, if they have any.
        marked: whether a column's own dtype says that it is categorical.
    """

    cells: Sequence[np.ndarray]
    names: Sequence[Any]
    marked: Sequence[bool]


def is_frame(table: Any) -> bool:
    """Whether a table has named columns of several dtypes."""
    return hasattr(table, "columns") and hasattr(table, "dtypes")


def read_frame(frame: Any) -> Columns:
    """The columns of a frame."""
    columns = [_column(frame, j) for j in range(len(frame.columns))]
    dtypes = [str(column.dtype).lower() for column in columns]
    marked = [dtype.startswith(CATEGORICAL) for dtype in dtypes]
    return Columns([_cells(column) for column in columns], tuple(frame.columns), marked)


def read_array(table: np.ndarray, names: Sequence[Any] = ()) -> Columns:
    """The columns of an array."""
    return Columns(list(table.T), names, [False] * table.shape[1])


def without_strings(table: Any) -> Any:
    """The table as it came, but lists with strings in them as objects: NaN is not "nan" then."""
    if is_frame(table) or not isinstance(table, list | tuple):
        return table
    strings = np.asarray(table).dtype.kind in "US"
    return np.asarray(table, dtype=object) if strings else table


def find_categorical(categorical: Any, columns: Columns) -> tuple[int, ...]:
    """Indices of the categorical columns.

    Args:
        categorical: indices or names of columns, a boolean for each column, None for none, or
            "auto" for the columns of strings and those of a categorical dtype.
        columns: the table.

    Raises:
        UsageError: a name or an index is not that of one column, or there are as many booleans as
            there should not be.
    """
    d = len(columns.cells)
    if categorical is None:
        return ()
    if isinstance(categorical, str):
        if categorical != "auto":
            raise UsageError(
                "`categorical` must be 'auto' or a sequence of columns, got "
                f"{categorical!r}; one column is written ({categorical!r},)"
            )
        return tuple(j for j in range(d) if columns.marked[j] or _has_strings(columns.cells[j]))
    chosen = _as_list(categorical)
    if chosen and all(isinstance(one, bool | np.bool_) for one in chosen):
        if len(chosen) != d:
            raise UsageError(
                f"`categorical` must have a boolean for each of the {d} columns, got {len(chosen)}"
            )
        return tuple(np.flatnonzero(chosen).tolist())
    return tuple(sorted({_find(one, columns.names, d) for one in chosen}))


def as_numbers(cells: np.ndarray, where: str, remedy: str) -> Float[np.ndarray, " n"]:
    """Cells as numbers; NaN where one is missing.

    Args:
        cells: one column.
        where: what it is called in an error.
        remedy: what to do if a cell is no number.

    Raises:
        UsageError: a cell is a string that is no number, a date, or too large.
        TypeError: a cell is something else.
    """
    if cells.dtype.kind in "fiub":
        return cells.astype(np.float64)
    return np.array([_number(value, where, remedy) for value in cells], np.float64)


def as_names(cells: np.ndarray) -> list[str | None]:
    """The category of each cell, None where it is missing.

    Equal numbers are one category, whatever their type: 1, 1.0 and True.
    """
    return [_category(value) for value in cells]


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN, NaT or NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas' NA is neither equal to itself nor not
        return True


def label(j: int, names: Sequence[Any]) -> str:
    """What a column is called in an error."""
    return f"column {j} ({names[j]!r})" if len(names) else f"column {j}"


def _column(frame: Any, j: int) -> Any:
    return frame.iloc[:, j] if hasattr(frame, "iloc") else frame[:, j]


def _cells(column: Any) -> np.ndarray:
    kind = getattr(column.dtype, "kind", "O") if isinstance(column.dtype, np.dtype) else "O"
    return np.asarray(column, dtype=None if kind in "fiub" else object)


def _as_list(categorical: Any) -> list[Any]:
    try:
        return list(categorical)
    except TypeError:
        raise UsageError(
            f"`categorical` must be a sequence of indices or names of columns, a boolean for each "
            f"column, or 'auto'; got {shown(categorical)}"
        ) from None


def _find(one: Any, names: Sequence[Any], d: int) -> int:
    if isinstance(one, numbers.Integral) and not isinstance(one, bool):
        if not 0 <= int(one) < d:
            raise UsageError(f"`categorical` must be indices of {d} columns, got {one}")
        return int(one)
    if not isinstance(one, str):
        raise UsageError(f"`categorical` takes indices and names of columns, got {shown(one)}")
    if not len(names):
        raise UsageError(
            f"`categorical` has the name {one!r}, and the columns of `X` have none; give a frame "
            "whose columns have names, or indices"
        )
    places = [j for j, name in enumerate(names) if name == one]
    if not places:
        known = list(map(str, names))
        raise UsageError(
            f"`categorical` has {one!r}, which is none of the columns {shown(known)}"
            f"{closest(one, known)}"
        )
    if len(places) > 1:
        raise UsageError(
            f"`categorical` has {one!r}, the name of the columns {places}; give indices"
        )
    return places[0]


def _has_strings(cells: np.ndarray) -> bool:
    """Whether a column is one of strings; an array of strings only may hold numbers too."""
    if cells.dtype.kind in "US":
        return not all(_is_number(value) for value in cells)
    return cells.dtype == object and any(isinstance(value, str | bytes) for value in cells)


def _is_number(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(value: Any, where: str, remedy: str) -> float:
    if is_missing(value):
        return np.nan
    if isinstance(value, DATES):
        raise UsageError(
            f"{where} must hold numbers, got the date {value!s}; give numbers, such as days since "
            "a date"
        )
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise UsageError(f"{where} must hold numbers, got {shown(value)}; {remedy}") from None
    except TypeError:
        raise TypeError(
            f"{where}: a cell as argument must be a missing value, a string or a number, "
            f"got {shown(value)}"
        ) from None


def _category(value: Any) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, numbers.Integral | np.bool_):
        return str(int(value))
    if isinstance(value, numbers.Real):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value)
